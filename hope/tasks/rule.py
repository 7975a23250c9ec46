"""A rule shown by examples: the output is the input, shifted by an amount that is new in each prompt.

::

    x1 x1+s . x2 | x2+s . . x3 | x3+s . x4 | x4+s
    example        answer       answer      answer

The symbols form a circle, in the same order in every prompt, and each output lies s places further than its input. No
input comes twice, so nothing can be copied: the model must infer the shift from earlier pairs and apply it. A prompt
has as many pairs as fit, at most one per symbol of the circle; the rest is filler between them.
"""

from pydantic import Field, model_validator

from hope.tasks.built_in import FILLER, BoundTask, BuiltIn, Random, scatter
from hope.tasks.task import Example


class Rule(BuiltIn):
    """Follow a rule shown by examples: a shift within the alphabet, new in each prompt."""

    alphabet: int = Field(16, ge=4, description="symbols in the circle")
    shifts: int = Field(15, ge=1, description="largest shift; the smallest is 1")
    filler: int = Field(FILLER, ge=1, description="distinct tokens of the filler")

    sizes = ("alphabet", "filler")

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
        """Return pairs with one shift at random places; every output but the first is an answer."""
        import numpy as np

        circle, filler = bound.sets
        shift = int(random.integers(1, self.shifts + 1))
        pairs = min(length // 2, self.alphabet)
        inputs = random.permutation(self.alphabet)[:pairs]
        starts = scatter(random, pairs, 2, length)
        tokens = random.choice(filler, length).astype(np.int64)
        tokens[starts], tokens[starts + 1] = circle[inputs], circle[(inputs + shift) % self.alphabet]
        answer = np.zeros(length, dtype=bool)
        answer[starts[1:] + 1] = True
        return Example(tokens, answer, circle)
