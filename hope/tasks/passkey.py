"""Passkey retrieval: a key of random tokens in real text (Mohtashami and Jaggi 2023, arXiv 2305.16300).

::

    the text QUERY p1 p2 p3 goes on and on QUERY | p1 p2 p3
             depth                                 answer

The key's place in the text is its depth. The paper marks the key by a sentence, this task by a token, since small
models do not understand instructions.
"""

from pydantic import Field

from hope.tasks.built_in import EVENLY, BoundTask, BuiltIn, Depths, Random, place
from hope.tasks.task import Example


class Passkey(BuiltIn):
    """Find a key in text of the corpus (Mohtashami and Jaggi 2023, arXiv 2305.16300)."""

    digits: int = Field(4, ge=1, description="tokens of the key")
    alphabet: int = Field(10, ge=2, description="distinct tokens that the key is drawn from")
    depths: Depths = Field(default=EVENLY, description="places of the key")

    reads_text = True
    sizes = ("alphabet",)

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 2 * (self.digits + 1) + 1

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return a text with a key at ``depth``, and the question."""
        import numpy as np

        (alphabet,) = bound.sets
        text = bound.source.span(random, length - 2 * (self.digits + 1))
        key = np.append(bound.query, random.choice(alphabet, self.digits))
        start = place(random, depth, len(text))
        tokens = np.concatenate((text[:start], key, text[start:], key)).astype(np.int64)
        return Example(tokens, np.arange(length) >= length - self.digits, alphabet)
