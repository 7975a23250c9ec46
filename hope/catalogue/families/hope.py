"""HoPE: components too slow to complete a turn within the training length are frozen (Chen et al. 2025)."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hope.catalogue.family import ROTATION, Family, RotarySettings
from hope.catalogue.spectra import TURN, Spectrum, check_count, geometric, slow_components
from hope.errors import UserError


class HopeSettings(RotarySettings):
    """Settings of HoPE and of its ablations."""

    cutoff: float = Field(
        1.0,
        ge=0.0,
        description="turns that a fast component completes within the training length, at least",
    )
    freeze: Literal["slow", "fast", "band", "listed", "random"] = Field(
        "slow", description="components whose angle is 0: slow is HoPE, the others are ablations"
    )
    band: list[Annotated[float, Field(ge=0.0)]] | None = Field(
        None, min_length=2, max_length=2, description="freeze: band; from this many turns within L to below that many"
    )
    components: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, description="freeze: listed; indices from 0, from fast to slow"
    )
    count: int | None = Field(None, ge=0, description="freeze: random; number of components, as many as HoPE's if null")
    seed: int | None = Field(None, ge=0, description="freeze: random; seed of the set")

    @model_validator(mode="after")
    def _belong_together(self) -> "HopeSettings":
        for key, kind in (("band", "band"), ("components", "listed"), ("count", "random"), ("seed", "random")):
            if getattr(self, key) is not None and self.freeze != kind:
                raise ValueError(f"{key} goes with freeze: {kind}, not with freeze: {self.freeze}")
        for key, kind in (("band", "band"), ("components", "listed")):
            if getattr(self, key) is None and self.freeze == kind:
                raise ValueError(f"freeze: {kind} needs the key {key}")
        return self


def spectrum(settings: HopeSettings, head_dim: int, length: int) -> Spectrum:
    """Return RoPE's frequencies, with 0 for :func:`frozen_components`."""
    whole = geometric(head_dim, settings.base)
    frozen = frozen_components(settings, whole, length)
    return Spectrum(tuple(0.0 if j in frozen else frequency for j, frequency in enumerate(whole)), whole)


def frozen_components(settings: HopeSettings, whole: tuple[float, ...], length: int) -> set[int]:
    """Return the components whose angle is 0 at every position; fast means ``theta_j >= 2 pi * cutoff / L``.

    Raises:
        UserError: the head has no such component, or fewer than ``count``.
    """
    every, slow = set(range(len(whole))), slow_components(whole, length, settings.cutoff)
    if settings.freeze == "slow":
        return slow
    if settings.freeze == "fast":
        return every - slow
    if settings.freeze == "band":
        low, high = (TURN * turns / length for turns in settings.band or (0.0, 0.0))
        return {j for j in every if low <= whole[j] < high}
    if settings.freeze == "listed":
        beyond = sorted(set(settings.components or ()) - every)
        if beyond:
            raise UserError(
                f"components: {beyond[0]} is out of range: the head has components 0 to {len(whole) - 1}, "
                "from fast to slow"
            )
        return set(settings.components or ())
    return _random_set(len(whole), len(slow) if settings.count is None else settings.count, settings.seed or 0)


def _random_set(components: int, count: int, seed: int) -> set[int]:
    """Return ``count`` of the components, the same for one seed on every machine and Python version."""
    check_count(count, components)
    drawn = sorted(range(components), key=lambda j: hashlib.sha256(f"frozen {seed} {j}".encode()).digest())
    return set(drawn[:count])


def floor(settings: HopeSettings, head_dim: int, length: int) -> float | None:
    """Return 1 - 2K/d, where K components have ``theta_j >= 2 pi cutoff / L``; None for the ablations."""
    if settings.freeze != "slow":
        return None
    half = head_dim // 2
    return 1 - sum(settings.base ** (-j / half) >= TURN * settings.cutoff / length for j in range(half)) / half


def aliases(head_dim: int, length: int) -> list[dict[str, Any]]:
    """Return settings that equal HoPE, RoPE, and no encoding."""
    half = head_dim // 2
    kept = spectrum(HopeSettings(), head_dim, length).kept
    return [
        {"freeze": "listed", "components": list(range(kept, half))},
        {"freeze": "band", "band": [0.0, 1.0]},
        {"cutoff": 0.0},
        {"base": 20.0},
        {"cutoff": 1e9},
    ]


FAMILY = Family(
    name="hope",
    rank=1,
    settings=HopeSettings,
    formula="RoPE where b^(-2j/d) >= 2 pi * cutoff / L, angle 0 elsewhere",
    source="Chen et al. 2025, arXiv 2410.21216",
    in_short="bounded; g(D) to a floor",
    over_distance=(
        f"{ROTATION} Frozen components add the same at every distance; the K others stay within ± the sum of their "
        "A_j. The mean of g(D) over far distances is 1 - 2K/d."
    ),
    past_length="Every component that turns completes a turn within L: only combinations of angles are new.",
    color="#0072B2",
    marker="o",
    shades="Blues",
    spectrum=spectrum,
    floor=floor,
    aliases=aliases,
)
PRESETS = (
    FAMILY.preset("hope_random", "control: as many components frozen, at random", 5, freeze="random"),
    FAMILY.preset("hope_half_turn", "sweep of the cutoff", 6, cutoff=0.5),
    FAMILY.preset("hope_two_turns", "sweep of the cutoff", 7, cutoff=2.0),
    FAMILY.preset("hope_four_turns", "sweep of the cutoff", 8, cutoff=4.0),
    FAMILY.preset("hope_slow_only", "ablation: the fast components frozen instead", 9, freeze="fast"),
    FAMILY.preset(
        "hope_band",
        "ablation: only slow components of almost a turn frozen",
        10,
        freeze="band",
        band=[0.25, 1.0],
    ),
    FAMILY.preset("hope_base_500k", "HoPE at the base of long-context models", 11, base=5e5),
)
