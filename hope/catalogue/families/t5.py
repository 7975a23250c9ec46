"""T5's relative position bias (Raffel et al. 2020, arXiv 1910.10683, section 2.1)."""

from pydantic import Field

from hope.catalogue.family import DRAWN, Family, Settings


class T5Settings(Settings):
    """Settings of T5's bias."""

    max_distance: int = Field(128, gt=16, description="distance in tokens from which on all share the last bucket")


FAMILY = Family(
    name="t5",
    rank=13,
    settings=T5Settings,
    formula="logit + the learned number of the head and of i - j's bucket, 32 buckets ever wider",
    source="Raffel et al. 2020, arXiv 1910.10683",
    in_short="bounded; constant far out",
    over_distance=(
        "One of 32 numbers of the head is added: each distance below 16 has one of its own, wider ranges share the "
        f"others, and the last serves all distances from max_distance on. {DRAWN}"
    ),
    past_length=(
        "Where max_distance is at most L, the last number goes on serving. Where it is more, distances from L to "
        "max_distance have numbers that were not trained."
    ),
    color="#A0522D",
    marker=(4, 1, 0),
    marker_size=1.7,
    acts_on="logits",
    implementation="hope.encodings.t5:T5",
    parameters=(("heads", 32),),
)
