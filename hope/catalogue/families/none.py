"""No positional encoding (Kazemnejad et al. 2023, arXiv 2305.19466)."""

from hope.catalogue.family import Family

FAMILY = Family(
    name="none",
    rank=9,
    formula="no positional encoding; the causal mask alone tells order",
    source="Kazemnejad et al. 2023, arXiv 2305.19466",
    in_short="constant",
    over_distance="Nothing is added at any distance. Order shows through the causal mask alone.",
    past_length="Nothing changes but the number of keys.",
    color="#4d4d4d",
    marker="D",
    acts_on="nothing",
    implementation="hope.encodings.base:Encoding",
)
