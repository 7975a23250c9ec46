"""Repetition: a string of random tokens fills the prompt, again and again, with a period drawn for each prompt.

::

    x1 x2 x3 x4 x5 x1 | x2 x3 x4 x5 x1 x2 x3 x4 x5 ...
                        answer: all that is left

The period is drawn from ``shortest_period`` to ``longest_period``, so that no distance is worth learning: what followed
a token once follows it again. Within a period no token comes twice, unless the period is longer than the alphabet:
then tokens are drawn with replacement. As induction, but every period is possible from a few tokens on, so that a
prompt holds many answers: the task that small models learn first.
"""

from pydantic import Field

from hope.tasks.built_in import BoundTask, BuiltIn, Random
from hope.tasks.task import Example


class Repeat(BuiltIn):
    """Go on with a string that fills the prompt again and again, with a drawn period."""

    alphabet: int = Field(32, ge=2, description="distinct tokens that the string is drawn from")
    shortest_period: int = Field(4, ge=1, description="tokens of the shortest string")
    longest_period: int | None = Field(
        None, ge=1, description="tokens of the longest string; null, or more than that: half of the prompt"
    )

    sizes = ("alphabet",)

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 2 * self.shortest_period

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return a string again and again; all but the first token of its repetitions are answers."""
        import numpy as np

        (alphabet,) = bound.sets
        half = length // 2
        longest = half if self.longest_period is None else max(self.shortest_period, min(self.longest_period, half))
        period = int(random.integers(self.shortest_period, longest + 1))
        string = random.choice(alphabet, period, replace=period > len(alphabet))
        return Example(np.resize(string, length).astype(np.int64), np.arange(length) > period, alphabet)
