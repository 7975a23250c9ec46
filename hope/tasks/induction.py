"""Induction: a random string repeats, without a mark (Olsson et al. 2022, arXiv 2209.11895).

::

    x1 x2 x3 x4 x5 x1 | x2 x3 x4 x5 x1 x2
                        answer

Each prompt draws its period, from a quarter to a half of its length, and its tokens, from the whole vocabulary. Prompts
share only the rule: the token that followed another one follows it again.
"""

from pydantic import Field

from hope.tasks.built_in import BoundTask, BuiltIn, Random
from hope.tasks.task import Example


class Induction(BuiltIn):
    """Continue a string that repeats without a mark."""

    alphabet: int = Field(64, ge=2, description="distinct tokens per prompt, drawn from the whole vocabulary")

    sizes = ("alphabet",)  # the vocabulary has as many; each prompt draws its own

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 4

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return a repeated string, whose tokens differ if the alphabet is large enough."""
        import numpy as np

        period = int(random.integers(max(2, length // 4), length // 2 + 1))
        alphabet = random.choice(bound.vocabulary.ordinary, self.alphabet, replace=False)
        string = random.permutation(np.resize(alphabet, period))
        return Example(np.resize(string, length).astype(np.int64), np.arange(length) > period, alphabet)
