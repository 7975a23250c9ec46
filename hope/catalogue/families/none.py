"""No positional encoding (Kazemnejad et al. 2023, arXiv 2305.19466)."""

from hope.catalogue.family import Family

FAMILY = Family(
    name="none",
    rank=9,
    formula="no positional encoding; the causal mask alone shows order",
    source="Kazemnejad et al. 2023, arXiv 2305.19466",
    in_short="constant",
    over_distance="The logit does not depend on distance. Only the causal mask shows order.",
    past_length="Only the number of keys changes.",
    color="#4d4d4d",
    marker="D",
    acts_on="nothing",
    implementation="hope.encodings.base:Encoding",
)
