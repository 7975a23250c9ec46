"""FIRE: a learned function of the distance relative to the position (Li et al. 2024, arXiv 2310.04418)."""

from pydantic import Field

from hope.catalogue.family import DRAWN, Family, Note
from hope.catalogue.settings import Settings
from hope.catalogue.style import ON_LOGITS, EncodingStyle


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
    note=Note(
        "bounded",
        "The MLP is fed a number from 0, at the query, to 1, so that what it adds has the same bounds at any length; "
        f"one distance is another number for another query. {DRAWN}",
        "What is fed in stays from 0 to 1, and distances are told apart less finely.",
    ),
    style=EncodingStyle("#1A85FF", (6, 1, 0), ON_LOGITS, 1.6),
    implementation="hope.encodings.fire:Fire",
    parameters=(("layers", "heads", 32), ("layers", 66)),
    kernel="bias",
    shift_invariant=False,
)
