"""Copy: repeat a string of random tokens.

::

    x1 x2 x3 x4 SEPARATOR x1 | x2 x3 x4
                               answer

The string is new in each example, so only the context gives the answer. At one length all copies have the same distance
to their strings: a model can learn to attend to that distance, and small ones do.
"""

from pydantic import Field

from hope.tasks.built_in import BoundTask, BuiltIn, Random, repeated
from hope.tasks.task import Example


class Copy(BuiltIn):
    """Repeat a string of random tokens."""

    alphabet: int = Field(64, ge=2, description="distinct tokens that the string is drawn from")

    sizes = ("alphabet",)

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 5

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return a string and its copy; if ``length`` is even, one random token comes first."""
        (alphabet,) = bound.sets
        span = (length - 1) // 2
        lead = random.choice(alphabet, length - 1 - 2 * span)
        string = random.choice(alphabet, span)
        return repeated(lead, string, bound.separator, alphabet)
