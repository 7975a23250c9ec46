"""Induction: random tokens come again, with nothing that says so (Olsson et al. 2022, arXiv 2209.11895).

::

    x1 x2 x3 x4 x5 x1 | x2 x3 x4 x5 x1 x2
                        answer

The period is drawn for each prompt, from a quarter to a half of its length, and the tokens from the whole vocabulary:
no place and no token is the same in two prompts, only the rule that what followed a token once follows it again.
"""

import numpy as np

from hope.tasks.task import Example, Source, Task, Vocabulary, too_short


class Induction(Task):
    """A repeated string of random tokens of the whole vocabulary."""

    def __init__(self, vocabulary: Vocabulary, source: Source, alphabet: int = 64) -> None:
        """Keep how many distinct tokens a prompt draws from."""
        super().__init__(vocabulary, source)
        self.ordinary, self.alphabet = vocabulary.ordinary, min(alphabet, len(vocabulary.ordinary))

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return a string of distinct tokens, as far as the alphabet goes, again and again."""
        if length < 4:
            raise too_short("induction", 4, length)
        period = int(random.integers(max(2, length // 4), length // 2 + 1))
        alphabet = random.choice(self.ordinary, self.alphabet, replace=False)
        string = random.permutation(np.resize(alphabet, period))
        tokens = np.resize(string, length).astype(np.int64)
        answer = np.arange(length) > period
        return Example(tokens, answer, alphabet)
