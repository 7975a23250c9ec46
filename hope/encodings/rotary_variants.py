"""Rotations with other frequencies than RoPE's and HoPE's: p-RoPE, partial RoPE, clipped RoPE, and given ones.

All turn the pairs (j, j + d/2) of :class:`hope.encodings.rotary.Rotary`.
"""

from collections.abc import Sequence
from typing import Literal

from hope.catalogue import spectra
from hope.encodings.base import EncodingShape
from hope.encodings.rotary import Rotary, tensor_of


class PRope(Rotary):
    """p-RoPE: the fastest share p of the components turns (Barbero et al. 2024, arXiv 2410.06205, section 6)."""

    def __init__(self, shape: EncodingShape, base: float = 10_000.0, p: float = 0.75) -> None:
        """Make p-RoPE of the given settings; see :func:`hope.catalogue.spectra.p_rope`."""
        super().__init__(shape, tensor_of(spectra.p_rope(shape.head_dim, shape.length, base, p)))


class PartialRope(Rotary):
    """Partial RoPE: r of the d dimensions turn, with a whole spectrum (Black et al. 2022, arXiv 2204.06745).

    The source turns the pairs (j, j + r/2) of the first r dimensions. Here the pairs are (j, j + d/2) for
    j < r/2, as in all rotary encodings: the same model with the rows of every head of the query and key
    projections in another order, and so the same class of models from the same random start.
    """

    def __init__(self, shape: EncodingShape, base: float = 10_000.0, share: float | Literal["hope"] = 0.25) -> None:
        """Make partial RoPE of the given settings; see :func:`hope.catalogue.spectra.partial_rope`."""
        super().__init__(shape, tensor_of(spectra.partial_rope(shape.head_dim, shape.length, base, share)))


class ClippedRope(Rotary):
    """Clipped RoPE: slow components are slowed down or stopped (Li et al. 2026, arXiv 2602.05258)."""

    def __init__(
        self,
        shape: EncodingShape,
        base: float = 10_000.0,
        kind: Literal["soft", "hard"] = "soft",
        count: int | None = None,
    ) -> None:
        """Make clipped RoPE of the given settings; see :func:`hope.catalogue.spectra.clipped_rope`."""
        super().__init__(shape, tensor_of(spectra.clipped_rope(shape.head_dim, shape.length, base, kind, count)))


class Listed(Rotary):
    """A rotation by given frequencies, such as those of a model that was trained elsewhere."""

    def __init__(
        self,
        shape: EncodingShape,
        base: float = 10_000.0,
        frequencies: Sequence[float] | None = None,
        multipliers: Sequence[float] | None = None,
    ) -> None:
        """Make the rotation of the given settings; see :func:`hope.catalogue.spectra.rotary`."""
        super().__init__(shape, tensor_of(spectra.rotary(shape.head_dim, shape.length, base, frequencies, multipliers)))
