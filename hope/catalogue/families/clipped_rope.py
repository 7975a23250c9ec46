"""Clipped RoPE: slow components are slowed or frozen (Li et al. 2026, arXiv 2602.05258)."""

import math
from typing import Any, Literal

from pydantic import Field

from hope.catalogue.family import ROTATION, Family, RotarySettings
from hope.catalogue.spectra import Spectrum, check_count, geometric, slow_components


class ClippedRopeSettings(RotarySettings):
    """Settings of clipped RoPE."""

    kind: Literal["soft", "hard"] = Field(
        "soft", description="soft: slow the slowest components by a cosine; hard: freeze them"
    )
    count: int | None = Field(
        None,
        ge=0,
        description="components to clip, from the slowest; as many as HoPE's if null; soft with 1 is RoPE",
    )


def spectrum(settings: ClippedRopeSettings, head_dim: int, length: int) -> Spectrum:
    """Return RoPE's frequencies, the ``count`` slowest of them slowed or frozen.

    ``soft`` multiplies them by ``(1 + cos t) / 2``, t evenly spaced from 0 to pi: the first is unchanged, the
    last is frozen; of one alone t is 0, which is RoPE. ``hard`` freezes them all.

    Raises:
        UserError: the head has fewer than ``count`` components.
    """
    whole = geometric(head_dim, settings.base)
    clipped = len(slow_components(whole, length)) if settings.count is None else settings.count
    check_count(clipped, len(whole))
    first = len(whole) - clipped
    if settings.kind == "hard":
        factors = [0.0] * clipped
    else:
        factors = [(1 + math.cos(math.pi * at / max(1, clipped - 1))) / 2 for at in range(clipped)]
    slowed = tuple(whole[first + at] * factor for at, factor in enumerate(factors))
    return Spectrum(whole[:first] + slowed, whole)


def aliases(head_dim: int, length: int) -> list[dict[str, Any]]:
    """Return settings that equal HoPE, and RoPE."""
    slow = slow_components(geometric(head_dim, ClippedRopeSettings().base), length)
    return [{"kind": "hard", "count": len(slow)}, *({"kind": "soft", "count": count} for count in (0, 1))]


FAMILY = Family(
    name="clipped_rope",
    rank=4,
    settings=ClippedRopeSettings,
    formula="RoPE, slow frequencies times (1 + cos t)/2, t from 0 to pi; hard: times 0",
    source="Li et al. 2026, arXiv 2602.05258",
    in_short="bounded; g(D) to a floor",
    over_distance=(
        f"{ROTATION} Soft: slow components are slowed, the last one to 0. Hard: they are frozen; with the default "
        "count this is HoPE. The mean of g(D), at distances where the slowest component turns, is 1 - 2K/d."
    ),
    past_length="Soft: slow components reach new angles, smaller than RoPE's. Hard: as HoPE.",
    color="#332288",
    marker="d",
    marker_size=1.2,
    spectrum=spectrum,
    aliases=aliases,
)
PRESETS = (FAMILY.preset("clipped_rope_hard", "slow components frozen, not slowed", 12, kind="hard"),)
