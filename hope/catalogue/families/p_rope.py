"""p-RoPE: a share p of the components turns, the fastest (Barbero et al. 2024, arXiv 2410.06205, section 6)."""

from typing import Any

from pydantic import Field

from hope.catalogue.family import ROTATION, Family, RotarySettings
from hope.catalogue.spectra import Spectrum, geometric, share_of, slow_components


class PRopeSettings(RotarySettings):
    """Settings of p-RoPE."""

    p: float = Field(0.75, ge=0.0, le=1.0, description="share of the components that turns, from the fastest")


def spectrum(settings: PRopeSettings, head_dim: int, length: int) -> Spectrum:
    """Return RoPE's first ``int(p * d/2)`` frequencies, the rest 0."""
    whole = geometric(head_dim, settings.base)
    kept = share_of(len(whole), settings.p)
    return Spectrum(whole[:kept] + (0.0,) * (len(whole) - kept), whole)


def aliases(head_dim: int, length: int) -> list[dict[str, Any]]:
    """Return settings that equal HoPE, RoPE, and no encoding."""
    half, slow = head_dim // 2, slow_components(geometric(head_dim, PRopeSettings().base), length)
    return [{"p": (half - len(slow)) / half}, {"p": 1.0}, {"p": 0.0}]


FAMILY = Family(
    name="p_rope",
    rank=2,
    settings=PRopeSettings,
    formula="RoPE where j < int(p * d/2), angle 0 elsewhere",
    source="Barbero et al. 2024, arXiv 2410.06205",
    in_short="bounded; g(D) to a floor",
    over_distance=(
        f"{ROTATION} As HoPE, but K = int(p d/2) for any L. The mean of g(D) over far distances is 1 - 2K/d."
    ),
    past_length="As RoPE, for those of the first K components that complete no turn within L.",
    color="#56B4E9",
    marker="p",
    marker_size=1.15,
    spectrum=spectrum,
    aliases=aliases,
)
