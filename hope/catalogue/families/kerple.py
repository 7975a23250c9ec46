"""KERPLE: kernelised relative positions, logarithmic and power (Chi et al. 2022, arXiv 2205.09921)."""

from typing import Any

from hope.catalogue.family import DRAWN, Family, Note
from hope.catalogue.settings import NoSettings
from hope.catalogue.style import ON_LOGITS, EncodingStyle

_BOTH: dict[str, Any] = {
    "settings": NoSettings,
    "source": "Chi et al. 2022, arXiv 2205.09921",
    "parameters": ((2, "heads"),),
    "kernel": "bias",
}

LOGARITHMIC = Family(
    name="kerple_log",
    rank=11,
    formula="logit - p_h * log(1 + a_h * (i - j)), p and a at least 0.01, learned",
    note=Note(
        "falls without end, slowly",
        "What is added falls from 0 as a logarithm and has no lower bound: a key's weight falls like a power of the "
        f"distance. {DRAWN}",
        "Goes on falling.",
    ),
    style=EncodingStyle("#80BA5A", "<", ON_LOGITS, 1.1),
    implementation="hope.encodings.kerple:KerpleLog",
    **_BOTH,
)
POWER = Family(
    name="kerple_power",
    rank=12,
    formula="logit - a_h * (i - j)^p_h, a at least 0.01, p from 0.01 to 2, learned",
    note=Note(
        "falls without end",
        "What is added falls from 0 as a power of the distance, from nearly flat to quadratic, and has no lower bound. "
        f"{DRAWN}",
        "Goes on falling.",
    ),
    style=EncodingStyle("#999933", ">", ON_LOGITS, 1.1),
    implementation="hope.encodings.kerple:KerplePower",
    **_BOTH,
)
