"""PoPE: polar coordinates, content in the magnitude and position in the phase (Gopalakrishnan et al. 2025)."""

from typing import Literal

from pydantic import Field

from hope.catalogue.family import Family, RotarySettings


class PopeSettings(RotarySettings):
    """Settings of PoPE."""

    delta: Literal["zero", "uniform"] = Field("zero", description="initial phases: 0, or uniform from -2 pi to 0")


FAMILY = Family(
    name="pope",
    rank=7,
    settings=PopeSettings,
    formula="sum_c softplus(q_c) softplus(k_c) cos((m - n) b^(-c/d) - delta_c), c < d",
    source="Gopalakrishnan et al. 2025, arXiv 2509.10534",
    in_short="bounded; mean to 0",
    over_distance=(
        "The logit stays within ± sum_c softplus(q_c) softplus(k_c) at every distance. Each of the d dimensions is a "
        "component of its own, and its magnitude does not depend on position. The picture has phases delta of 0, the "
        "default start."
    ),
    past_length="As RoPE, for components with theta_c below 2 pi / L.",
    color="#7F3C8D",
    marker="P",
    marker_size=1.25,
    implementation="hope.encodings.pope:Pope",
    parameters=(("layers", "kv_heads", "head_dim"),),
    own_queries=True,
)
PRESETS = (FAMILY.preset("pope_uniform", "phases begin at random", 13, delta="uniform"),)
