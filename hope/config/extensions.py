"""Length extensions of trained rotary encodings, as a config names them: what is changed at evaluation, untrained."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from hope.section import Section

Factor = Annotated[float, Field(ge=1.0)]
Slowest = Literal["spectrum", "kept"]
_KEPT = {"spectrum": "", "kept": "-kept"}


class LengthExtension(Section):
    """What all extensions share.

    Attributes:
        by_component: settings that list one number for each component of a head.
    """

    by_component: ClassVar[tuple[str, ...]] = ()

    name: str | None = Field(None, min_length=1, description="label in tables; made of kind and settings if null")
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
    factor: Factor = Field(description="how far positions are squeezed")


class Ntk(Scaling):
    """NTK-aware scaling: a larger base, so that the slowest component alone is slowed by the whole factor."""

    kind: Literal["ntk"]
    factor: Factor = Field(description="how far the slowest component is slowed")
    slowest: Slowest = Field(
        "spectrum", description="which component that is: the slowest of the whole spectrum, or of those kept"
    )

    @property
    def usual_name(self) -> str:
        """Kind and factor, and ``kept`` where the slowest kept component sets the base."""
        return f"{self.kind}{_KEPT[self.slowest]}-{self.factor:g}"


class DynamicNtk(Scaling):
    """NTK-aware scaling by a factor that grows with the tokens read; none within the training length."""

    kind: Literal["dynamic-ntk"]
    factor: Factor = Field(1.0, description="how fast it grows: factor * tokens / L - (factor - 1)")
    slowest: Slowest = Field("spectrum", description="as in ntk")

    @property
    def usual_name(self) -> str:
        """As in ntk."""
        return f"{self.kind}{_KEPT[self.slowest]}-{self.factor:g}"


class Yarn(Scaling):
    """YaRN: fast components stay, slow ones are interpolated, and the logits are sharpened."""

    kind: Literal["yarn"]
    factor: Factor = Field(description="how far slow components are slowed")
    fast: Annotated[float, Field(gt=0.0)] = Field(32.0, description="rotations within L from which a component stays")
    slow: Annotated[float, Field(gt=0.0)] = Field(1.0, description="rotations within L up to which it is slowed wholly")

    @model_validator(mode="after")
    def _rises(self) -> "Yarn":
        if self.fast <= self.slow:
            raise ValueError(f"fast {self.fast:g} is not above slow {self.slow:g}")
        return self


class LongRope(Scaling):
    """LongRoPE with given factors: one set within the training length, one past it."""

    by_component = ("short", "long")

    kind: Literal["longrope"]
    factor: Factor = Field(description="the factor that the sets were made for; it sharpens the logits")
    short: list[Factor] = Field(description="divisors of each component's angle, up to L tokens")
    long: list[Factor] = Field(description="divisors of each component's angle, past L tokens")
    sharpness: Annotated[float, Field(gt=0.0)] | None = Field(
        None, description="factor of queries and of keys; sqrt(1 + ln(factor) / ln(L)) if null"
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
"""One entry of ``extrapolation.extensions``; its ``kind`` says which."""
