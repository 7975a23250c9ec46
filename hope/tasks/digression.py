"""Return from a digression: the first topic is asked for, a recent one is the decoy.

::

    SEPARATOR t1 v1 some text of the corpus SEPARATOR t2 v2 a few tokens QUERY t1 | v1
    binding         digression              decoy           recent                 answer

The candidates are the two values, so that the margin is how much less likely the decoy is than the right one,
NLL(decoy) - NLL(right): below 0 where what is near wins. The length of the prompt is that of the digression, and
9 tokens more and ``recent``.
"""

import numpy as np

from hope.tasks.task import Example, Source, Task, Vocabulary, too_short


class Digression(Task):
    """A binding, a digression, and a decoy right before the question."""

    def __init__(self, vocabulary: Vocabulary, source: Source, alphabet: int = 64, recent: int = 4) -> None:
        """Choose the alphabet of topics and values."""
        super().__init__(vocabulary, source)
        (self.alphabet,) = vocabulary.alphabets("digression", alphabet)
        self.recent = recent

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return two bindings with text between, and the question about the first."""
        special = self.vocabulary.special
        count = length - 9
        if count < self.recent:
            raise too_short("digression", 9 + self.recent, length)
        text, recent = np.split(self.source.span(random, count), [count - self.recent])
        topic, other, value, decoy = random.choice(self.alphabet, 4, replace=False)
        binding, second = [special["separator"], topic, value], [special["separator"], other, decoy]
        question = [special["query"], topic, value]
        tokens = np.concatenate((binding, text, second, recent, question)).astype(np.int64)
        answer = np.zeros(length, dtype=bool)
        answer[-1] = True
        return Example(tokens, answer, np.array([value, decoy]))
