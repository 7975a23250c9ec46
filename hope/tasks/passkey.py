"""Passkey retrieval: a key of random tokens lies in real text (Mohtashami and Jaggi 2023, arXiv 2305.16300).

::

    the text QUERY p1 p2 p3 goes on and on QUERY | p1 p2 p3
             depth                                 answer

The key's place in the text is its depth. There the marker is a sentence; here it is a token, since a small model
reads no instructions.
"""

from collections.abc import Sequence

import numpy as np

from hope.tasks.task import Example, Source, Task, Vocabulary, place, too_short


class Passkey(Task):
    """A key in real text, asked for by the marker before it."""

    def __init__(
        self, vocabulary: Vocabulary, source: Source, digits: int = 4, alphabet: int = 10, depths: Sequence[float] = ()
    ) -> None:
        """Choose the tokens of keys."""
        super().__init__(vocabulary, source)
        self.digits, self.depths = digits, tuple(depths)
        (self.alphabet,) = vocabulary.alphabets("passkey", alphabet)
        self.query = vocabulary.special["query"]

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return a text with a key at ``depth``, and the question."""
        block = self.digits + 1
        if length <= 2 * block:
            raise too_short("passkey", 2 * block + 1, length)
        text = self.source.span(random, length - 2 * block)
        key = np.append(self.query, random.choice(self.alphabet, self.digits))
        start = place(random, depth, len(text))
        tokens = np.concatenate((text[:start], key, text[start:], key)).astype(np.int64)
        answer = np.zeros(length, dtype=bool)
        answer[length - self.digits :] = True
        return Example(tokens, answer, self.alphabet)
