"""Sinusoidal absolute positions (Vaswani et al. 2017, arXiv 1706.03762, section 3.5)."""

from pydantic import Field

from hope.catalogue.family import Family, Note
from hope.catalogue.settings import Positive, Settings
from hope.catalogue.style import ON_EMBEDDINGS, EncodingStyle


class SinusoidalSettings(Settings):
    """Settings of the sinusoidal encoding."""

    base: Positive = Field(10_000.0, description="base b of the frequencies b^(-2i/width)")


FAMILY = Family(
    name="sinusoidal",
    rank=15,
    settings=SinusoidalSettings,
    formula="embedding * sqrt(width) + sin and cos of m * b^(-2i/width)",
    source="Vaswani et al. 2017, arXiv 1706.03762",
    note=Note(
        "bounded; product falls",
        "The vectors of two positions have the inner product sum_i cos(D b^(-2i/width)). A logit sees them through the "
        "projections of queries and keys, and so depends on m and n, not on D alone.",
        "Slow waves reach values that training did not show.",
    ),
    style=EncodingStyle("#8C564B", "8", ON_EMBEDDINGS),
    implementation="hope.encodings.sinusoidal:Sinusoidal",
    shift_invariant=False,
)
