"""Key-value recall: bindings scattered in filler, then a question about every key.

::

    . . k1 v1 . k2 v2 . . . QUERY k2 | v2   QUERY k1 | v1   QUERY k1 v1 QUERY k2 v2
                                       answer          answer       again: taught, not scored

Questions fill half of the prompt. Only the first question about each key is scored; training also learns from the
repeated ones.
"""

from pydantic import Field, model_validator

from hope.tasks.built_in import FILLER, BoundTask, BuiltIn, Random, check_pairs, interleaved, scatter
from hope.tasks.task import Example


class Recall(BuiltIn):
    """Answer with the value that was bound to a key."""

    pairs: int = Field(4, ge=1, description="bindings per prompt")
    alphabet: int = Field(64, ge=2, description="distinct tokens that keys and values are drawn from")
    filler: int = Field(FILLER, ge=1, description="distinct tokens of the filler")

    sizes = ("alphabet", "filler")
    later = ("filler",)

    @model_validator(mode="after")
    def _enough(self) -> "Recall":
        check_pairs("pairs", self.pairs, self.alphabet)
        return self

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 5

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return bindings at random places, then rounds of questions, each in a random order.

        A binding takes 2 tokens and a question 3; short prompts have fewer of them.
        """
        import numpy as np

        alphabet, filler = bound.sets
        pairs = min(self.pairs, length // 5)
        keys, values = np.split(random.choice(alphabet, 2 * pairs, replace=False), 2)
        questions = max(pairs, length // 6)
        context = length - 3 * questions
        starts = scatter(random, pairs, 2, context)
        tokens = random.choice(filler, length).astype(np.int64)
        tokens[starts], tokens[starts + 1] = keys, values
        rounds = [random.permutation(pairs) for _ in range(-(-questions // pairs))]
        order = np.concatenate(rounds)[:questions]
        tokens[context:] = interleaved(np.full(questions, bound.query), keys[order], values[order])
        taught = np.zeros(length, dtype=bool)
        taught[context + 2 :: 3] = True
        answer = taught.copy()
        answer[context + 3 * pairs :] = False
        return Example(tokens, answer, alphabet, taught)
