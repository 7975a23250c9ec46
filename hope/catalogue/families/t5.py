"""T5's relative position bias (Raffel et al. 2020, arXiv 1910.10683, section 2.1)."""

from pydantic import Field

from hope.catalogue.family import DRAWN, Family, Settings


class T5Settings(Settings):
    """Settings of T5's bias."""

    max_distance: int = Field(
        128, gt=16, le=10**9, description="distance, in tokens, from which on all share the last bucket"
    )


FAMILY = Family(
    name="t5",
    rank=13,
    settings=T5Settings,
    formula="logit + a learned number per head and bucket of i - j; 32 buckets of growing width",
    source="Raffel et al. 2020, arXiv 1910.10683",
    in_short="bounded; constant far out",
    over_distance=(
        "Each head adds one of 32 numbers: each distance below 16 has its own, wider and wider ranges share the "
        f"others, and the last serves all distances from max_distance on. {DRAWN}"
    ),
    past_length=(
        "If max_distance is at most L, the last number serves all of them. If not, the numbers for distances from L to "
        "max_distance were not trained."
    ),
    color="#A0522D",
    marker=(4, 1, 0),
    marker_size=1.7,
    acts_on="logits",
    implementation="hope.encodings.t5:T5",
    parameters=(("heads", 32),),
)
