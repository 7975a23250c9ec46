"""Sinusoidal absolute positions (Vaswani et al. 2017, arXiv 1706.03762, section 3.5)."""

from pydantic import Field

from hope.catalogue.family import Family, Positive, Settings


class SinusoidalSettings(Settings):
    """Settings of the sinusoidal encoding."""

    base: Positive = Field(10_000.0, description="base b of the frequencies b^(-2i/width)")


FAMILY = Family(
    name="sinusoidal",
    rank=15,
    settings=SinusoidalSettings,
    formula="embedding * sqrt(width) + sin and cos of m * b^(-2i/width)",
    source="Vaswani et al. 2017, arXiv 1706.03762",
    in_short="bounded; product falls",
    over_distance=(
        "The vectors of two positions have the inner product sum_i cos(D b^(-2i/width)). They pass through the "
        "projections of queries and keys, so a logit depends on m and n, not on D alone."
    ),
    past_length="Slow waves reach values that did not occur in training.",
    color="#8C564B",
    marker="8",
    acts_on="embeddings",
    implementation="hope.encodings.sinusoidal:Sinusoidal",
    shift_invariant=False,
)
