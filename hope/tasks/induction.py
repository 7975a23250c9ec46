"""Induction: random tokens come again, and nothing marks the repetition (Olsson et al. 2022, arXiv 2209.11895).

::

    x1 x2 x3 x4 x5 x1 | x2 x3 x4 x5 x1 x2
                        answer

The period is drawn for each prompt, from a quarter to a half of its length, and the tokens from the whole vocabulary:
no place and no token is the same in two prompts, only the rule that what followed a token once follows it again.
"""

from pydantic import Field

from hope.tasks.built_in import BoundTask, BuiltIn, Random
from hope.tasks.task import Example


class Induction(BuiltIn):
    """Go on with a string that came before; nothing marks that it comes again."""

    alphabet: int = Field(64, ge=2, description="distinct tokens of a prompt, drawn anew from the whole vocabulary")

    @property
    def symbols(self) -> int:
        """Ordinary tokens that a vocabulary must have for the task."""
        return self.alphabet

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 4

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return a string of distinct tokens, as far as the alphabet goes, again and again."""
        import numpy as np

        period = int(random.integers(max(2, length // 4), length // 2 + 1))
        ordinary = bound.vocabulary.ordinary
        alphabet = random.choice(ordinary, min(self.alphabet, len(ordinary)), replace=False)
        string = random.permutation(np.resize(alphabet, period))
        return Example(np.resize(string, length).astype(np.int64), np.arange(length) > period, alphabet)
