"""What one family of encodings declares: everything that the rest of the project knows of it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from hope.catalogue.settings import Settings
from hope.catalogue.shape import EncodingShape
from hope.catalogue.spectra import Spectrum
from hope.catalogue.style import EncodingStyle

LAST = 1000
"""Rank of what declares none: it is listed last, by name."""

Product = tuple[str | int, ...]
"""Factors: numbers, and names of sizes of :class:`hope.catalogue.shape.EncodingShape`."""


@dataclass(frozen=True)
class Note:
    """What an encoding does to a logit, for the atlas.

    Attributes:
        short: over distance, in a few words.
        bound: over distance, with the bound that holds.
        past: at positions and distances past the training length L.
    """

    short: str
    bound: str
    past: str


ROTATION = "Component j adds A_j cos(D theta_j + phi_j) to the logit."
UNSEEN = "Components that complete no turn within L reach angles D theta_j that training did not show."
DRAWN = "The picture has the numbers that training starts from, drawn at random."


@dataclass(frozen=True)
class Preset:
    """Settings of a family that have a name of their own, so that a study can list them as they are.

    Attributes:
        name: the name by which a config lists it.
        family: the family's name.
        purpose: what it is compared for.
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

    One of ``spectrum``, ``bias`` and ``implementation`` says how it is computed. A function of the family takes its
    settings first, an object of the class ``settings``; ``head_dim`` and ``length`` are d and L.

    Attributes:
        name: the name by which a config lists it.
        rank: its place in listings.
        settings: the model of its settings.
        formula: the encoding in one line.
        source: the paper that defined it.
        note: what the atlas reports of it.
        style: how figures draw it.
        spectrum: ``(settings, head_dim, length)``: the frequencies, where queries and keys turn by angles linear in
            position and nothing else happens.
        bias: ``(settings, shape, heads, queries, keys)``: what is added to the logits, where nothing is learned, as
            :meth:`hope.encodings.base.Encoding.bias` describes it; written with methods of the tensors that come in.
        implementation: ``module:Class`` of the :class:`hope.encodings.base.Encoding`, which takes the settings as
            keyword arguments.
        parameters: how many it learns, as a sum of products; none if empty.
        kernel: how its attention runs: ``fused``, or with a ``bias`` on the logits, or with ``logits`` of its own.
        shift_invariant: whether logits depend on positions through their difference alone.
        bounded: whether it has no positions past the training length.
        positionless: whether the causal mask alone tells order.
        given: whether it is no method of its own but takes what comes from elsewhere; left out of comparisons.
        own_queries: whether it makes queries and keys of its own on the fused kernel, and so keeps more for the
            backward pass than a rotation does.
        floor: ``(settings, head_dim, length)``: the mean of its kernel g(D) over far distances, worked out
            independently of ``spectrum``; None where no formula is known.
        remark: ``(settings, head_dim, length)``: what a study's listing notes beside the settings.
        aliases: ``(head_dim, length)``: settings at which it is another family at these sizes, or may be.
        panels: ``module:function`` that makes its panels in the atlas from a shape, where those that all have do
            not show what it does.
    """

    name: str
    rank: int = LAST
    settings: type[Settings]
    formula: str
    source: str
    note: Note
    style: EncodingStyle
    spectrum: Callable[[Any, int, int], Spectrum] | None = None
    bias: Callable[..., Any] | None = None
    implementation: str | None = None
    parameters: tuple[Product, ...] = ()
    kernel: Literal["fused", "bias", "logits"] = "fused"
    shift_invariant: bool = True
    bounded: bool = False
    positionless: bool = False
    given: bool = False
    own_queries: bool = False
    floor: Callable[[Any, int, int], float | None] = lambda settings, head_dim, length: None
    remark: Callable[[Any, int, int], str | None] = lambda settings, head_dim, length: None
    aliases: Callable[[int, int], Iterable[dict[str, Any]]] = lambda head_dim, length: ()
    panels: str | None = None

    @property
    def rotary(self) -> bool:
        """Whether it rotates queries and keys by an angle linear in position."""
        return self.spectrum is not None

    def spectrum_at(self, settings: dict[str, Any], head_dim: int, length: int) -> Spectrum | None:
        """Return the frequencies that it has with these settings; None if it is not rotary.

        Raises:
            UserError: the settings do not fit the sizes.
        """
        if self.spectrum is None:
            return None
        return self.spectrum(self.settings.model_validate(settings), head_dim, length)

    def parameter_count(self, shape: EncodingShape) -> int:
        """Return how many parameters it learns in a model of these sizes."""
        return sum(
            math.prod(getattr(shape, factor) if isinstance(factor, str) else factor for factor in product)
            for product in self.parameters
        )

    def preset(self, name: str, purpose: str, rank: int = LAST, **settings: Any) -> Preset:
        """Return a preset of this family."""
        return Preset(name, self.name, purpose, settings, rank)
