"""FIRE: a learned function of the distance relative to the position (Li et al. 2024, arXiv 2310.04418)."""

from pydantic import Field

from hope.catalogue.family import DRAWN, Family, Settings


class FireSettings(Settings):
    """Settings of FIRE."""

    threshold: float | None = Field(
        None, gt=0.0, description="threshold t at the start, in tokens; min(512, L/4) if left out"
    )


FAMILY = Family(
    name="fire",
    rank=14,
    settings=FireSettings,
    formula="logit + MLP(log(1 + c * (i - j)) / log(1 + c * max(i, t)))_h, all learned in each layer",
    source="Li et al. 2024, arXiv 2310.04418",
    in_short="bounded",
    over_distance=(
        "The MLP is fed a number from 0, at the query, to 1, so that what it adds has the same bounds at any length; "
        f"one distance is another number for another query. {DRAWN}"
    ),
    past_length="What is fed in stays from 0 to 1, and distances are told apart less finely.",
    color="#1A85FF",
    marker=(6, 1, 0),
    marker_size=1.6,
    acts_on="logits",
    implementation="hope.encodings.fire:Fire",
    parameters=(("layers", "heads", 32), ("layers", 66)),
    shift_invariant=False,
)
