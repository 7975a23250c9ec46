"""Copy: repeat a string of random tokens.

::

    x1 x2 x3 x4 SEPARATOR x1 | x2 x3 x4
                               answer

The string is drawn anew for each example, so nothing but the context tells the answer. At one length all copies stand
at the same distance from their strings: a model can learn to look back that far, and small ones do just that.
"""

import numpy as np

from hope.tasks.task import Example, Source, Task, Vocabulary, too_short


class Copy(Task):
    """The copy task over an alphabet of random tokens."""

    def __init__(self, vocabulary: Vocabulary, source: Source, alphabet: int = 64) -> None:
        """Choose the alphabet, of so many tokens."""
        super().__init__(vocabulary, source)
        (self.alphabet,) = vocabulary.alphabets("copy", alphabet)

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return a string and its copy; an even ``length`` holds one random token before the string."""
        span = (length - 1) // 2
        if span < 2:
            raise too_short("copy", 5, length)
        lead = random.choice(self.alphabet, length - 1 - 2 * span)
        string = random.choice(self.alphabet, span)
        return repeated(lead, string, self.vocabulary.special["separator"], self.alphabet)


def repeated(lead: np.ndarray, string: np.ndarray, separator: int, candidates: np.ndarray) -> Example:
    """Return ``lead``, a string, a separator and the string again; its first token is the question."""
    tokens = np.concatenate((lead, string, [separator], string)).astype(np.int64)
    answer = np.zeros(len(tokens), dtype=bool)
    answer[len(tokens) - len(string) + 1 :] = True
    return Example(tokens, answer, candidates)
