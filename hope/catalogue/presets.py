"""Encodings with settings that have a name of their own, so that a study can list them as they are."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """One family with settings.

    Attributes:
        name: the name by which a config lists it.
        family: the family's name.
        purpose: what it is compared for.
        settings: those that differ from the family's defaults.
    """

    name: str
    family: str
    purpose: str
    settings: dict[str, Any] = field(default_factory=dict)


_ALL = (
    # Controls: without them an effect of HoPE's cannot be told from others.
    Preset("rope_fast", "rope", "control: every component completes a turn within L", {"base": "fast"}),
    Preset("rope_base_1k", "rope", "control: a sweep of bases", {"base": 1e3}),
    Preset("rope_base_100k", "rope", "control: a sweep of bases", {"base": 1e5}),
    Preset("rope_base_500k", "rope", "control: a sweep of bases", {"base": 5e5}),
    Preset(
        "partial_rope_hope", "partial_rope", "control: as many rotated dimensions, whole spectrum", {"share": "hope"}
    ),
    Preset("hope_random", "hope", "control: as many components frozen, at random", {"freeze": "random"}),
    # HoPE's ablations.
    Preset("hope_half_turn", "hope", "sweep of the cutoff", {"cutoff": 0.5}),
    Preset("hope_two_turns", "hope", "sweep of the cutoff", {"cutoff": 2.0}),
    Preset("hope_four_turns", "hope", "sweep of the cutoff", {"cutoff": 4.0}),
    Preset("hope_slow_only", "hope", "ablation: the fast components frozen instead", {"freeze": "fast"}),
    Preset(
        "hope_band",
        "hope",
        "ablation: of the slow components only those just below a turn frozen",
        {"freeze": "band", "band": [0.25, 1.0]},
    ),
    Preset("hope_base_500k", "hope", "HoPE at the base of long-context models", {"base": 5e5}),
    # The other kind, start or base of a method.
    Preset("clipped_rope_hard", "clipped_rope", "slow components stopped, not slowed", {"kind": "hard"}),
    Preset("pope_uniform", "pope", "phases begin anywhere", {"delta": "uniform"}),
    Preset("darope_base_500k", "darope", "DaRoPE at the base of long-context models", {"base": 5e5}),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}
