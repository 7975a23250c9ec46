"""FIRE: a learned function of the distance relative to the position (Li et al. 2024, arXiv 2310.04418)."""

from pydantic import Field

from hope.catalogue.family import DRAWN, Family, Settings


class FireSettings(Settings):
    """Settings of FIRE."""

    threshold: float | None = Field(
        None, gt=0.0, le=1e9, description="initial threshold t, in tokens; min(512, L/4) if null"
    )


FAMILY = Family(
    name="fire",
    rank=14,
    settings=FireSettings,
    formula="logit + MLP(log(1 + c * (i - j)) / log(1 + c * max(i, t)))_h, all learned per layer",
    source="Li et al. 2024, arXiv 2310.04418",
    in_short="bounded",
    over_distance=(
        "The MLP's input lies between 0, at the query, and 1, so that the bias has the same bounds at any length. The "
        f"input for one distance differs between queries. {DRAWN}"
    ),
    past_length="The input stays between 0 and 1, and distances lie closer together.",
    color="#1A85FF",
    marker=(6, 1, 0),
    marker_size=1.6,
    acts_on="logits",
    implementation="hope.encodings.fire:Fire",
    parameters=(("layers", "heads", 32), ("layers", 66)),
    shift_invariant=False,
)
