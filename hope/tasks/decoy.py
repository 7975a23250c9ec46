"""A recent decoy: two bindings among filler, and a question about one of them, often right after the other.

::

    . . SEPARATOR t1 v1 . . . . . . SEPARATOR t2 v2 . . QUERY t1 | v1   QUERY t1 v1
        binding         digression  decoy         recent          answer again: taught, not scored

Like the digression, but with filler in place of text, so that models trained without text can learn it. The candidates
are the two values: a margin below 0 means that the other binding wins.
"""

from typing import Literal

from pydantic import Field

from hope.tasks.built_in import FILLER, BoundTask, BuiltIn, Random
from hope.tasks.task import Example


class Decoy(BuiltIn):
    """Answer for one of two topics, right after the other one was bound."""

    alphabet: int = Field(32, ge=4, description="distinct tokens that topics and values are drawn from")
    asked: Literal["first", "second", "either"] = Field("first", description="the binding that the question is about")
    recent: int | None = Field(
        4, ge=0, description="filler between the second binding and the question, at most; null: as much as fits"
    )
    questions: int = Field(1, ge=1, description="times that the question is asked, at most; the number is random")
    filler: int = Field(FILLER, ge=1, description="distinct tokens of the filler")

    sizes = ("alphabet", "filler")

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 9

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return two bindings at random places, and a question, repeated a random number of times."""
        import numpy as np

        alphabet, filler = bound.sets
        questions = int(random.integers(1, min(self.questions, (length - 6) // 3) + 1))
        context = length - 3 * questions
        free = context - 6
        recent = int(random.integers((free if self.recent is None else min(self.recent, free)) + 1))
        between = int(random.integers(free - recent + 1))
        second = context - recent - 3
        first = second - between - 3
        topics, values = random.choice(alphabet, (2, 2), replace=False)
        asked = int(random.integers(2)) if self.asked == "either" else ("first", "second").index(self.asked)
        tokens = random.choice(filler, length).astype(np.int64)
        for start, topic, value in zip((first, second), topics, values, strict=True):
            tokens[start : start + 3] = bound.separator, topic, value
        tokens[context:] = np.tile([bound.query, topics[asked], values[asked]], questions)
        taught = np.zeros(length, dtype=bool)
        taught[context + 2 :: 3] = True
        return Example(tokens, np.arange(length) == context + 2, values, taught)
