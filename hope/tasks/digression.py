"""Return from a digression: the question is about the first topic, and a recent one is the decoy.

::

    SEPARATOR t1 v1 some text of the corpus SEPARATOR t2 v2 a few tokens QUERY t1 | v1
    binding         digression              decoy           recent                 answer

The candidates are the two values, so the margin is NLL(decoy) - NLL(right) in nats: below 0 if the recent value wins. A
prompt is 9 + ``recent`` tokens longer than its digression.
"""

from pydantic import Field

from hope.tasks.built_in import BoundTask, BuiltIn, Random
from hope.tasks.task import Example


class Digression(BuiltIn):
    """Answer for the first topic, right after another one was bound."""

    alphabet: int = Field(64, ge=4, description="distinct tokens that topics and values are drawn from")
    recent: int = Field(4, ge=0, description="tokens of text between the other binding and the question")

    reads_text = True
    sizes = ("alphabet",)

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 9 + self.recent

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return two bindings with text between, and the question about the first."""
        import numpy as np

        (alphabet,) = bound.sets
        count = length - 9
        text, recent = np.split(bound.source.span(random, count), [count - self.recent])
        topic, other, value, decoy = random.choice(alphabet, 4, replace=False)
        binding, second = [bound.separator, topic, value], [bound.separator, other, decoy]
        question = [bound.query, topic, value]
        tokens = np.concatenate((binding, text, second, recent, question)).astype(np.int64)
        return Example(tokens, np.arange(length) == length - 1, np.array([value, decoy]))
