"""The declaration of a family of encodings: everything that the rest of the project knows about it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from hope.catalogue.spectra import Spectrum

LAST = 1000
"""The default rank: listed last, by name."""

ROTATION = "Component j adds A_j cos(D theta_j + phi_j) to the logit."
UNSEEN = "Components that complete no turn within L reach angles D theta_j that did not occur in training."
DRAWN = "The picture has random initial parameters."

Marker = str | tuple[int, int, int]
"""A letter of matplotlib's, or a star: its corners, its kind, and its turn in degrees."""
Positive = Annotated[float, Field(gt=0.0)]


class Settings(BaseModel):
    """Settings of one encoding; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NoSettings(Settings):
    """Settings of an encoding that has none."""


class RotarySettings(Settings):
    """Settings of a rotary encoding."""

    base: Positive = Field(10_000.0, description="base b of the frequencies b^(-2j/d)")


def number_or(word: str, low: float, high: float, expected: str) -> PlainValidator:
    """Return a validator for a number above ``low`` and up to ``high``, or one word in its place."""

    def check(value: Any) -> float | str:
        if value == word:
            return word
        try:
            # YAML reads 5e5, which has no point, as text.
            number = None if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = None
        if number is None or not low < number <= high:
            raise ValueError(f"input should be {expected}, or '{word}'")
        return number

    return PlainValidator(check)


@dataclass(frozen=True)
class EncodingShape:
    """The sizes that an encoding may depend on.

    Attributes:
        layers: decoder layers.
        width: size of the residual stream.
        heads: query heads.
        kv_heads: key and value heads.
        head_dim: width of one head.
        length: the training length L, in tokens.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    length: int


@dataclass(frozen=True)
class Preset:
    """A family with settings, under a name that a study can list.

    Attributes:
        name: the name in a config.
        family: the family's name.
        purpose: the purpose of comparing it.
        settings: those that differ from the family's defaults.
        rank: its place in listings, from 0, which also sets its style in figures.
    """

    name: str
    family: str
    purpose: str
    settings: dict[str, Any]
    rank: int = LAST


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of encodings.

    One of ``spectrum``, ``bias`` and ``implementation`` defines how it is computed. The functions of a family take its
    settings first, an object of the class ``settings``; ``head_dim`` and ``length`` are d and L.

    Attributes:
        name: the name in a config.
        rank: its place in listings.
        settings: the pydantic model of its settings.
        formula: the encoding in one line.
        source: the paper that defined it.
        in_short: its effect on a logit over distance, in a few words.
        over_distance: the same in full, with its bound.
        past_length: its behaviour at positions and distances past the training length L.
        color: colour of its lines in figures; each family has its own.
        marker: marker on these lines; each family has its own.
        marker_size: size of the marker relative to others: stars have little area.
        shades: matplotlib's colour map that grows darker with the base, for a family whose theoretical kernel is
            drawn at several bases.
        acts_on: where positions enter; acting on logits means adding a bias to them.
        spectrum: ``(settings, head_dim, length)``: the frequencies, for a family that only turns queries and keys by
            angles linear in position.
        bias: ``(settings, shape, heads, queries, keys)``: the bias on the logits, for a family that learns nothing, as
            in :meth:`hope.encodings.base.Encoding.bias`; it uses only methods of its tensors.
        implementation: ``module:Class`` of the :class:`hope.encodings.base.Encoding`, which takes the settings as
            keyword arguments.
        parameters: the number of learned parameters, as a sum of products of numbers and of sizes of
            :class:`EncodingShape`.
        shift_invariant: whether logits depend on positions through their difference alone.
        bounded: whether it has no positions past the training length.
        given: whether it is no method but takes frequencies from elsewhere; comparisons leave it out.
        span: ``(settings)``: number of tokens that can be encoded together; None for any number.
        own_queries: whether it replaces queries and keys on the fused kernel, and so keeps more for the backward pass
            than a rotation does.
        floor: ``(settings, head_dim, length)``: the mean of its kernel g(D) over far distances, derived independently
            of ``spectrum``; None if no formula is known.
        remark: ``(settings, head_dim, length)``: a note beside the settings in a study's listing.
        aliases: ``(head_dim, length)``: settings that equal another family at these sizes, or may.
        panels: ``module:function`` that makes its panels in the atlas from a shape, if the usual panels do not show
            what it does.
    """

    name: str
    rank: int = LAST
    settings: type[Settings] = NoSettings
    formula: str
    source: str
    in_short: str
    over_distance: str
    past_length: str
    color: str
    marker: Marker
    marker_size: float = 1.0
    shades: str | None = None
    acts_on: Literal["queries and keys", "logits", "embeddings", "nothing"] = "queries and keys"
    spectrum: Callable[[Any, int, int], Spectrum] | None = None
    bias: Callable[..., Any] | None = None
    implementation: str | None = None
    parameters: tuple[tuple[str | int, ...], ...] = ()
    shift_invariant: bool = True
    bounded: bool = False
    given: bool = False
    span: Callable[[Any], int | None] = lambda settings: None
    own_queries: bool = False
    floor: Callable[[Any, int, int], float | None] = lambda settings, head_dim, length: None
    remark: Callable[[Any, int, int], str | None] = lambda settings, head_dim, length: None
    aliases: Callable[[int, int], Iterable[dict[str, Any]]] = lambda head_dim, length: ()
    panels: str | None = None

    @property
    def rotary(self) -> bool:
        """Whether it rotates queries and keys by an angle linear in position."""
        return self.spectrum is not None

    @property
    def kernel(self) -> Literal["fused", "bias"]:
        """The kernel of its attention: the fused one, or one with a bias on the logits."""
        return "bias" if self.acts_on == "logits" else "fused"

    def spectrum_at(self, settings: dict[str, Any], head_dim: int, length: int) -> Spectrum | None:
        """Return its frequencies with these settings; None if it is not rotary.

        Raises:
            UserError: the settings do not fit the sizes.
        """
        if self.spectrum is None:
            return None
        return self.spectrum(self.settings.model_validate(settings), head_dim, length)

    def parameter_count(self, shape: EncodingShape) -> int:
        """Return the number of parameters that it learns in a model of these sizes."""
        return sum(
            math.prod(getattr(shape, factor) if isinstance(factor, str) else factor for factor in product)
            for product in self.parameters
        )

    def preset(self, name: str, purpose: str, rank: int = LAST, **settings: Any) -> Preset:
        """Return a preset of this family."""
        return Preset(name, self.name, purpose, settings, rank)
