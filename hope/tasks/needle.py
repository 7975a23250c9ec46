"""Needle in a haystack: several bindings in real text, and a question with the key of one.

::

    the text SEPARATOR k1 v w goes SEPARATOR k2 y z on and on QUERY k1 | v w
             depth            another needle                           answer

The binding asked for stands at its depth, the others at random places: the same at every depth, unless the binding
asked for would split one of them.
"""

from pydantic import Field, model_validator

from hope.tasks.built_in import EVENLY, BoundTask, BuiltIn, Depths, Random, place, scatter
from hope.tasks.task import Example


class Needle(BuiltIn):
    """Find one of several bindings in text of the corpus."""

    needles: int = Field(4, ge=1, description="bindings in the text; the question is about one of them")
    alphabet: int = Field(64, ge=2, description="distinct tokens that keys and values are drawn from")
    tokens: int = Field(2, ge=1, description="tokens per value")
    depths: Depths = Field(default=EVENLY, description="places of the binding asked for")

    reads_text = True
    sizes = ("alphabet",)

    @model_validator(mode="after")
    def _enough(self) -> "Needle":
        if self.needles * (self.tokens + 1) > self.alphabet:
            raise ValueError(f"needles {self.needles} of {self.tokens + 1} tokens are above alphabet {self.alphabet}")
        return self

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 2 * (self.tokens + 2) + 1

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return a text with needles, and the question; short prompts have fewer needles."""
        import numpy as np

        (alphabet,) = bound.sets
        block = self.tokens + 2
        context = length - block
        # At least half of the context is text, unless only the needle asked for fits.
        needles = max(1, min(self.needles, context // (2 * block)))
        text = bound.source.span(random, context - needles * block)
        drawn = random.choice(alphabet, (needles, 1 + self.tokens), replace=False)
        blocks = np.column_stack((np.full(needles, bound.separator), drawn))
        body = context - block
        start = place(random, depth, body)
        others = scatter(random, needles - 1, block, body)
        while ((others < start) & (start < others + block)).any():  # the depth is exact, so all others move
            others = scatter(random, needles - 1, block, body)
        others = others + np.where(others >= start, block, 0)

        tokens, free = np.empty(length, dtype=np.int64), np.ones(length, dtype=bool)
        for first, needle in zip((start, *others), blocks, strict=True):
            tokens[first : first + block], free[first : first + block] = needle, False
        tokens[context:], free[context:] = np.append(bound.query, blocks[0, 1:]), False
        tokens[free] = text
        return Example(tokens, np.arange(length) >= length - self.tokens, alphabet)
