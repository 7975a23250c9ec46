"""KERPLE: kernelised relative positions, logarithmic and power (Chi et al. 2022, arXiv 2205.09921)."""

from typing import Any

from hope.catalogue.family import DRAWN, Family

_BOTH: dict[str, Any] = {
    "source": "Chi et al. 2022, arXiv 2205.09921",
    "parameters": ((2, "heads"),),
}

LOGARITHMIC = Family(
    name="kerple_log",
    rank=11,
    formula="logit - p_h * log(1 + a_h * (i - j)), p and a at least 0.01, learned",
    in_short="falls without end, slowly",
    over_distance=(
        "The bias falls from 0 as a logarithm and has no lower bound: a key's weight falls like a power of the "
        f"distance. {DRAWN}"
    ),
    past_length="The bias goes on falling.",
    color="#80BA5A",
    marker="<",
    marker_size=1.1,
    acts_on="logits",
    implementation="hope.encodings.kerple:KerpleLog",
    **_BOTH,
)
POWER = Family(
    name="kerple_power",
    rank=12,
    formula="logit - a_h * (i - j)^p_h, a at least 0.01, p from 0.01 to 2, learned",
    in_short="falls without end",
    over_distance=(
        "The bias falls from 0 as a power of the distance, from nearly flat to quadratic, and has no lower bound. "
        f"{DRAWN}"
    ),
    past_length="The bias goes on falling.",
    color="#999933",
    marker=">",
    marker_size=1.1,
    acts_on="logits",
    implementation="hope.encodings.kerple:KerplePower",
    **_BOTH,
)
