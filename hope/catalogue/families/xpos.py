"""xPos: RoPE whose components also decay with distance (Sun et al. 2022, arXiv 2212.10554)."""

from pydantic import Field

from hope.catalogue.family import Family, Positive, RotarySettings


class XposSettings(RotarySettings):
    """Settings of xPos."""

    scale_base: Positive = Field(512.0, description="tokens over which component j decays by the factor zeta_j")


FAMILY = Family(
    name="xpos",
    rank=6,
    settings=XposSettings,
    formula="RoPE, component j times zeta_j^((m - n)/512), zeta_j = (2j + 0.4d)/(1.4d)",
    source="Sun et al. 2022, arXiv 2212.10554",
    in_short="falls to 0",
    over_distance=(
        "Component j adds A_j zeta_j^(D/512) cos(D theta_j + phi_j), zeta_j from 0.29 to almost 1: the logit stays "
        "within ± sum_j A_j zeta_j^(D/512), which falls to 0, for the fast components first."
    ),
    past_length="As RoPE, ever weaker.",
    color="#661100",
    marker="*",
    marker_size=1.6,
    implementation="hope.encodings.xpos:Xpos",
)
