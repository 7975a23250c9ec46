"""Length extensions of trained rotary encodings, as in a config: changes at evaluation, without training."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from hope.section import Section

Factor = Annotated[float, Field(ge=1.0)]
Slowest = Literal["spectrum", "kept"]
_KEPT = {"spectrum": "", "kept": "-kept"}


class LengthExtension(Section):
    """A length extension.

    Attributes:
        by_component: settings that list one number per component of a head.
    """

    by_component: ClassVar[tuple[str, ...]] = ()

    name: str | None = Field(None, min_length=1, description="label in tables; made from kind and settings if null")
    kind: str

    @property
    def label(self) -> str:
        """The extension's name in tables, such as ``yarn-4``."""
        return self.name or self.usual_name

    @property
    def usual_name(self) -> str:
        """The label of an extension that has no name of its own."""
        raise NotImplementedError


class Scaling(LengthExtension):
    """An extension by a factor."""

    factor: Factor

    @property
    def usual_name(self) -> str:
        """Kind and factor."""
        return f"{self.kind}-{self.factor:g}"


class LinearScaling(Scaling):
    """Position interpolation: every angle divided by the factor."""

    kind: Literal["linear"]
    factor: Factor = Field(description="divisor of positions")


class Ntk(Scaling):
    """NTK-aware scaling: a larger base, so that only the slowest component is slowed by the whole factor."""

    kind: Literal["ntk"]
    factor: Factor = Field(description="factor by which the slowest component is slowed")
    slowest: Slowest = Field(
        "spectrum", description="the slowest component: of the whole spectrum, or of those kept by training"
    )

    @property
    def usual_name(self) -> str:
        """Kind and factor, with ``kept`` if the slowest kept component sets the base."""
        return f"{self.kind}{_KEPT[self.slowest]}-{self.factor:g}"


class DynamicNtk(Scaling):
    """NTK-aware scaling by a factor that grows with the number of tokens read; 1 within the training length."""

    kind: Literal["dynamic-ntk"]
    factor: Factor = Field(1.0, description="growth of that factor: factor * tokens / L - (factor - 1)")
    slowest: Slowest = Field("spectrum", description="as in ntk")

    @property
    def usual_name(self) -> str:
        """As in ntk."""
        return f"{self.kind}{_KEPT[self.slowest]}-{self.factor:g}"


class Yarn(Scaling):
    """YaRN: fast components are unchanged, slow ones are slowed, and the logits are sharpened."""

    kind: Literal["yarn"]
    factor: Factor = Field(description="factor by which slow components are slowed")
    fast: Annotated[float, Field(gt=0.0)] = Field(
        32.0, description="components of at least so many rotations within L are unchanged"
    )
    slow: Annotated[float, Field(gt=0.0)] = Field(
        1.0, description="components of at most so many rotations within L are slowed by the whole factor"
    )

    @model_validator(mode="after")
    def _rises(self) -> "Yarn":
        if self.fast <= self.slow:
            raise ValueError(f"fast {self.fast:g} is not above slow {self.slow:g}")
        return self


class LongRope(Scaling):
    """LongRoPE with given factors: one set within the training length, one past it."""

    by_component = ("short", "long")

    kind: Literal["longrope"]
    factor: Factor = Field(description="factor that the sets were made for; it sharpens the logits")
    short: list[Factor] = Field(description="divisor of each component's angle, up to L tokens")
    long: list[Factor] = Field(description="divisor of each component's angle, past L tokens")
    sharpness: Annotated[float, Field(gt=0.0)] | None = Field(
        None, description="factor of queries and keys; sqrt(1 + ln(factor) / ln(L)) if null"
    )


class ReRope(LengthExtension):
    """ReRoPE: distances past a window count as the window."""

    kind: Literal["rerope"]
    window: Annotated[float, Field(gt=0.0, le=1.0)] = Field(0.5, description="the window, in training lengths")

    @property
    def usual_name(self) -> str:
        """Kind and window."""
        return f"{self.kind}-{self.window:g}L"


Extension = Annotated[LinearScaling | Ntk | DynamicNtk | Yarn | LongRope | ReRope, Field(discriminator="kind")]
"""One entry of ``extrapolation.extensions``; ``kind`` selects its class."""
