"""Key-value recall: bindings lie scattered in filler, then every key is asked for its value.

::

    . . k1 v1 . k2 v2 . . . QUERY k2 | v2   QUERY k1 | v1
                                       answer          answer
"""

import numpy as np

from hope import config
from hope.errors import UserError
from hope.tasks.task import Example, Vocabulary

_FILLER = 32


class Recall:
    """Key-value recall with bindings that are new in each example."""

    name = "recall"

    def __init__(self, settings: config.Recall, vocabulary: Vocabulary) -> None:
        """Choose the keys, the values and the filler: disjoint sets of tokens."""
        self.pairs = settings.pairs
        self.keys, self.values, self.filler = vocabulary.alphabets("recall", settings.keys, settings.values, _FILLER)
        self.query = vocabulary.special["query"]

    def _pairs_within(self, length: int) -> int:
        """Return how many bindings fit: each takes 2 tokens, and 3 more where it is asked."""
        pairs = min(self.pairs, length // 5)
        if pairs < 1:
            raise UserError(f"recall needs prompts of 5 tokens or more, not {length}: raise the multiple of L")
        return pairs

    def example(self, random: np.random.Generator, length: int) -> Example:
        """Return bindings at random places, and the questions in an order of their own."""
        pairs = self._pairs_within(length)
        keys = random.choice(self.keys, pairs, replace=False)
        values = random.choice(self.values, pairs, replace=False)
        context = length - 3 * pairs
        # Choosing the starts among `context - pairs` cells, then moving each behind the pairs before it,
        # gives every arrangement of disjoint pairs the same probability.
        starts = np.sort(random.choice(context - pairs, pairs, replace=False)) + np.arange(pairs)
        tokens = random.choice(self.filler, length).astype(np.int64)
        tokens[starts], tokens[starts + 1] = keys, values
        order = random.permutation(pairs)
        tokens[context:] = np.stack((np.full(pairs, self.query), keys[order], values[order]), axis=1).reshape(-1)
        answer = np.zeros(length, dtype=bool)
        answer[context + 2 :: 3] = True
        return Example(tokens, answer, self.values)

    def chance(self, length: int) -> float:
        """Return one over the number of values that the task uses."""
        return 1 / len(self.values)
