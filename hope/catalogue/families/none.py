"""No positional encoding (Kazemnejad et al. 2023, arXiv 2305.19466)."""

from hope.catalogue.family import Family, Note
from hope.catalogue.settings import NoSettings
from hope.catalogue.style import NOWHERE, EncodingStyle

FAMILY = Family(
    name="none",
    rank=9,
    settings=NoSettings,
    formula="no positional encoding; the causal mask alone tells order",
    source="Kazemnejad et al. 2023, arXiv 2305.19466",
    note=Note(
        "constant",
        "Nothing is added at any distance. Order shows through the causal mask alone.",
        "Nothing changes but the number of keys.",
    ),
    style=EncodingStyle("#4d4d4d", "D", NOWHERE),
    implementation="hope.encodings.base:Encoding",
    positionless=True,
)
