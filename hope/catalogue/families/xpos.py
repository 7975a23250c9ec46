"""xPos: RoPE whose components also decay with distance (Sun et al. 2022, arXiv 2212.10554)."""

from pydantic import Field

from hope.catalogue.family import Family, RotarySettings

SCALES = 32
"""Queries within this many scale bases are encoded together: factors are at most (0.4/1.4)^-16, below 6e8."""


class XposSettings(RotarySettings):
    """Settings of xPos."""

    scale_base: float = Field(
        512.0, ge=1 / SCALES, le=1e9, description="tokens over which component j decays by the factor zeta_j"
    )


def span(settings: XposSettings) -> int:
    """Return the number of tokens whose queries are encoded together."""
    return int(SCALES * settings.scale_base)


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
    span=span,
)
