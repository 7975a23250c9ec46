"""Partial RoPE: r of the d dimensions turn, with a whole spectrum (Black et al. 2022, arXiv 2204.06745).

The source turns the pairs (j, j + r/2) of the first r dimensions. Here the pairs are (j, j + d/2) for j < r/2, as in
all rotary encodings: the same model with the rows of the query and key projections permuted within each head.
"""

from typing import Annotated, Literal

from pydantic import Field

from hope.catalogue.family import ROTATION, UNSEEN, Family, RotarySettings, number_or
from hope.catalogue.spectra import Spectrum, geometric, share_of, slow_components

ShareOrHope = Annotated[float | Literal["hope"], number_or("hope", 0.0, 1.0, "a share above 0 and up to 1")]


class PartialRopeSettings(RotarySettings):
    """Settings of partial RoPE."""

    share: ShareOrHope = Field(0.25, description="share r/d of the dimensions that turns; hope: as many as HoPE turns")


def spectrum(settings: PartialRopeSettings, head_dim: int, length: int) -> Spectrum:
    """Return ``theta_j = base^(-2j/r)`` for j < r/2, the rest 0 (section 2.1.1)."""
    rope = geometric(head_dim, settings.base)
    half = len(rope)
    kept = half - len(slow_components(rope, length)) if settings.share == "hope" else share_of(half, settings.share)
    whole = (geometric(2 * kept, settings.base) if kept else ()) + (0.0,) * (half - kept)
    return Spectrum(whole, whole, span=kept)


FAMILY = Family(
    name="partial_rope",
    rank=3,
    settings=PartialRopeSettings,
    formula="rotate r dimensions by m * b^(-2j/r), leave the others unchanged",
    source="Black et al. 2022, arXiv 2204.06745",
    in_short="bounded; g(D) to a floor",
    over_distance=(
        f"{ROTATION} The r rotated dimensions have a whole spectrum; the others add the same at every distance. The "
        "mean of g(D) over far distances is 1 - r/d."
    ),
    past_length=UNSEEN,
    color="#E69F00",
    marker="H",
    marker_size=1.1,
    spectrum=spectrum,
    aliases=lambda head_dim, length: [{"share": 1.0}],
)
PRESETS = (FAMILY.preset("partial_rope_hope", "control: as many rotated dimensions, whole spectrum", 4, share="hope"),)
