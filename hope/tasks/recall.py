"""Key-value recall: bindings lie scattered in filler, then every key is asked for its value.

::

    . . k1 v1 . k2 v2 . . . QUERY k2 | v2   QUERY k1 | v1   QUERY k1 v1 QUERY k2 v2
                                       answer          answer       again: taught, not scored

Questions fill the half of the prompt. Each key is scored where it is asked first; that it is asked again gives
training more to learn from.
"""

import numpy as np

from hope.tasks.task import Example, Source, Task, Vocabulary, scatter, too_short

_FILLER = 32


class Recall(Task):
    """Key-value recall with bindings that are new in each example."""

    def __init__(self, vocabulary: Vocabulary, source: Source, pairs: int = 4, alphabet: int = 64) -> None:
        """Choose the alphabet of keys and values and the filler: disjoint sets of tokens."""
        super().__init__(vocabulary, source)
        self.pairs = pairs
        self.alphabet, self.filler = vocabulary.alphabets("recall", alphabet, _FILLER)
        self.query = vocabulary.special["query"]

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return bindings at random places, and rounds of questions, each in an order of its own.

        A binding takes 2 tokens and a question 3; a short prompt has fewer of them.
        """
        pairs = min(self.pairs, length // 5)
        if pairs < 1:
            raise too_short("recall", 5, length)
        keys, values = np.split(random.choice(self.alphabet, 2 * pairs, replace=False), 2)
        questions = max(pairs, length // 6)
        context = length - 3 * questions
        starts = scatter(random, pairs, 2, context)
        tokens = random.choice(self.filler, length).astype(np.int64)
        tokens[starts], tokens[starts + 1] = keys, values
        rounds = [random.permutation(pairs) for _ in range(-(-questions // pairs))]
        order = np.concatenate(rounds)[:questions]
        tokens[context:] = np.stack((np.full(questions, self.query), keys[order], values[order]), axis=1).reshape(-1)
        taught = np.zeros(length, dtype=bool)
        taught[context + 2 :: 3] = True
        answer = taught.copy()
        answer[context + 3 * pairs :] = False
        return Example(tokens, answer, self.alphabet, taught)
