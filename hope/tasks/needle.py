"""Needle in a haystack: one of several bindings in real text is asked for by its key.

::

    the text SEPARATOR k1 v w goes SEPARATOR k2 y z on and on QUERY k1 | v w
             depth            another needle                           answer

What is asked for stands at its depth, the others at random places.
"""

from collections.abc import Sequence

import numpy as np

from hope.tasks.task import Example, Source, Task, Vocabulary, place, scatter, too_short


class Needle(Task):
    """A binding in real text, among others."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        source: Source,
        needles: int = 4,
        alphabet: int = 64,
        tokens: int = 2,
        depths: Sequence[float] = (),
    ) -> None:
        """Choose the alphabet of keys and values."""
        super().__init__(vocabulary, source)
        self.needles, self.size, self.depths = needles, tokens, tuple(depths)
        (self.alphabet,) = vocabulary.alphabets("needle", alphabet)

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return a text with needles in it, and the question; a short prompt has fewer needles."""
        special, block = self.vocabulary.special, self.size + 2
        context = length - block
        # Half of the context is text, unless it holds no more than the one that is asked for.
        needles = max(1, min(self.needles, context // (2 * block)))
        if context <= block:
            raise too_short("needle", 2 * block + 1, length)
        text = self.source.span(random, context - needles * block)
        drawn = random.choice(self.alphabet, (needles, 1 + self.size), replace=False)
        blocks = np.column_stack((np.full(needles, special["separator"]), drawn))
        body = context - block
        start = place(random, depth, body)
        others = scatter(random, needles - 1, block, body)
        while ((others < start) & (start < others + block)).any():  # the depth is exact, so the others give way
            others = scatter(random, needles - 1, block, body)
        others = others + np.where(others >= start, block, 0)

        tokens, free = np.empty(length, dtype=np.int64), np.ones(length, dtype=bool)
        for first, found in zip((start, *others), blocks, strict=True):
            tokens[first : first + block], free[first : first + block] = found, False
        tokens[context:], free[context:] = np.append(special["query"], blocks[0, 1:]), False
        tokens[free] = text
        answer = np.zeros(length, dtype=bool)
        answer[length - self.size :] = True
        return Example(tokens, answer, self.alphabet)
