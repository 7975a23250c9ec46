"""RoPE: every component turns (Su et al. 2021, arXiv 2104.09864)."""

from typing import Annotated, Literal

from pydantic import Field

from hope.catalogue.family import ROTATION, UNSEEN, Family, Settings, number_or
from hope.catalogue.spectra import TURN, Spectrum, geometric

BaseOrFast = Annotated[float | Literal["fast"], number_or("fast", 0.0, float(10**300), "a number above 0")]


class RopeSettings(Settings):
    """Settings of RoPE."""

    base: BaseOrFast = Field(
        10_000.0,
        description="base b of the frequencies b^(-2j/d); fast: the largest at which all complete a turn within L",
    )


def spectrum(settings: RopeSettings, head_dim: int, length: int) -> Spectrum:
    """Return ``theta_j = base^(-2j/d)``."""
    whole = geometric(head_dim, fast_base(head_dim, length) if settings.base == "fast" else settings.base)
    return Spectrum(whole, whole)


def fast_base(head_dim: int, length: int) -> float:
    """Return the largest base at which every component completes a turn within ``length`` tokens.

    ``(L / 2 pi)^(d / (d - 2))``, about 803 at L = 4096, d = 64: HoPE would freeze none. Reduced by 1e-12, so that
    rounding leaves the slowest component on the fast side.
    """
    if head_dim <= 2:
        return 10_000.0  # the only component turns by one radian per token at any base
    return (length / TURN) ** (head_dim / (head_dim - 2)) * (1 - 1e-12)


def remark(settings: RopeSettings, head_dim: int, length: int) -> str | None:
    """Return the number that ``fast`` stands for."""
    return f"base {fast_base(head_dim, length):.4g}" if settings.base == "fast" else None


FAMILY = Family(
    name="rope",
    rank=0,
    settings=RopeSettings,
    formula="rotate component j by m * b^(-2j/d)",
    source="Su et al. 2021, arXiv 2104.09864",
    in_short="bounded; g(D) to 0",
    over_distance=(
        f"{ROTATION} The logit stays within ± sum_j A_j at every distance; content decides at which distance it is "
        "largest. The mean of g(D) over far distances is 0."
    ),
    past_length=UNSEEN,
    color="#D55E00",
    marker="s",
    shades="Oranges",
    spectrum=spectrum,
    floor=lambda settings, head_dim, length: 0.0,
    remark=remark,
    aliases=lambda head_dim, length: [{"base": 20.0}],
)
PRESETS = (
    FAMILY.preset("rope_fast", "control: every component completes a turn within L", 0, base="fast"),
    FAMILY.preset("rope_base_1k", "control: a sweep of bases", 1, base=1e3),
    FAMILY.preset("rope_base_100k", "control: a sweep of bases", 2, base=1e5),
    FAMILY.preset("rope_base_500k", "control: a sweep of bases", 3, base=5e5),
)
