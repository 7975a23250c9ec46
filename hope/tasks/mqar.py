"""Multi-query associative recall (Arora et al. 2023, Zoology, arXiv 2312.04927, section 3).

::

    k1 v1 k2 v2 k3 v3 | k2 v2 . . k1 v1 . . . . . k3 v3 . .
                           answer    answer          answer

All bindings stand at the beginning; each key comes again once, scattered, and is answered at once. As there the
gaps follow a power law, so that most keys come again soon; here an answer is read like any token after it was told.
"""

import numpy as np

from hope.tasks.task import Example, Source, Task, Vocabulary, too_short

_FILLER = 32


class Mqar(Task):
    """Multi-query associative recall with bindings that are new in each example."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        source: Source,
        pairs: int = 4,
        alphabet: int = 64,
        power: float = 0.1,
    ) -> None:
        """Choose the alphabet of keys and values and the filler: disjoint sets of tokens."""
        super().__init__(vocabulary, source)
        self.pairs, self.power = pairs, power
        self.alphabet, self.filler = vocabulary.alphabets("mqar", alphabet, _FILLER)

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return bindings and their keys again; a short prompt has fewer of them."""
        pairs = min(self.pairs, length // 4)
        if pairs < 1:
            raise too_short("mqar", 4, length)
        keys, values = np.split(random.choice(self.alphabet, 2 * pairs, replace=False), 2)
        cells = np.arange(1, (length - 2 * pairs) // 2 + 1)
        likely = cells ** (self.power - 1.0)
        # Cells of two tokens, one for each key: no two of them overlap.
        starts = 2 * pairs + 2 * (random.choice(cells, pairs, replace=False, p=likely / likely.sum()) - 1)
        tokens = random.choice(self.filler, length).astype(np.int64)
        tokens[: 2 * pairs] = np.stack((keys, values), axis=1).reshape(-1)
        tokens[starts], tokens[starts + 1] = keys, values
        answer = np.zeros(length, dtype=bool)
        answer[starts + 1] = True
        return Example(tokens, answer, self.alphabet)
