"""Repetition: a random string fills the prompt by repeating, with a period drawn for each prompt.

::

    x1 x2 x3 x4 x5 x1 | x2 x3 x4 x5 x1 x2 x3 x4 x5 ...
                        answer: the rest

The period is drawn from ``shortest_period`` to ``longest_period``, so that no fixed distance gives the answer: the
token that followed another one follows it again. Within a period all tokens differ, unless it is longer than the
alphabet: then tokens are drawn with replacement. Like induction, but periods can be short, so that a prompt has many
answers: small models learn this task first.
"""

from pydantic import Field, model_validator

from hope.tasks.built_in import BoundTask, BuiltIn, Random
from hope.tasks.task import Example


class Repeat(BuiltIn):
    """Continue a string that repeats with a random period."""

    alphabet: int = Field(32, ge=2, description="distinct tokens that the string is drawn from")
    shortest_period: int = Field(4, ge=1, description="tokens of the shortest string")
    longest_period: int | None = Field(
        None, ge=1, description="tokens of the longest string; null: half of the prompt, which is also the maximum"
    )

    sizes = ("alphabet",)

    @model_validator(mode="after")
    def _in_order(self) -> "Repeat":
        if self.longest_period is not None and self.longest_period < self.shortest_period:
            raise ValueError(f"longest_period {self.longest_period} is below shortest_period {self.shortest_period}")
        return self

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return max(3, 2 * self.shortest_period)  # the first token of a repetition is no answer

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return a repeated string; all tokens of the repetitions but the first are answers."""
        import numpy as np

        (alphabet,) = bound.sets
        half = length // 2
        longest = half if self.longest_period is None else min(self.longest_period, half)
        period = int(random.integers(self.shortest_period, longest + 1))
        string = random.choice(alphabet, period, replace=period > len(alphabet))
        return Example(np.resize(string, length).astype(np.int64), np.arange(length) > period, alphabet)
