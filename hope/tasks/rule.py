"""A rule that examples show: the output is the input, shifted by an amount that is new in each prompt.

::

    . . x1 x1+s x2 x2+s x3 x3+s . . x4 | x4+s
        examples                         answer

The symbols stand in a circle, in an order that is the same in every prompt, and each output lies s places further than
its input. No input comes twice, so nothing can be copied: the shift has to be found in the examples and applied.
"""

from pydantic import Field, model_validator

from hope.tasks.built_in import BoundTask, BuiltIn, Random, interleaved
from hope.tasks.task import Example


class Rule(BuiltIn):
    """Follow a rule that examples show: a shift within the alphabet, new in each prompt."""

    alphabet: int = Field(16, ge=4, description="symbols in the circle")
    shifts: int = Field(15, ge=1, description="shifts that are drawn from, 1 to so many places")

    sizes = ("alphabet",)

    @model_validator(mode="after")
    def _within_the_circle(self) -> "Rule":
        if self.shifts >= self.alphabet:
            raise ValueError(f"shifts {self.shifts} is not below alphabet {self.alphabet}: a whole turn is no shift")
        return self

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 4

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return examples of one shift; every output but the first is an answer, and an input comes once in a round."""
        import numpy as np

        (circle,) = bound.sets
        shift = int(random.integers(1, self.shifts + 1))
        shown = length // 2
        rounds = -(-shown // self.alphabet)
        inputs = np.concatenate([random.permutation(self.alphabet) for _ in range(rounds)])[:shown]
        tokens = np.empty(length, dtype=np.int64)
        lead = length - 2 * shown
        tokens[:lead] = random.choice(circle, lead)
        tokens[lead:] = interleaved(circle[inputs], circle[(inputs + shift) % self.alphabet])
        answer = np.zeros(length, dtype=bool)
        answer[lead + 3 :: 2] = True
        return Example(tokens, answer, circle)
