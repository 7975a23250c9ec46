"""Copy: repeat a string of random tokens.

::

    x1 x2 x3 x4 SEPARATOR x1 | x2 x3 x4
                               answer

The string is drawn anew for each example, so nothing but the context tells the answer.
"""

import numpy as np

from hope import config
from hope.errors import UserError
from hope.tasks.task import Example, Vocabulary


class Copy:
    """The copy task over an alphabet of random tokens."""

    name = "copy"

    def __init__(self, settings: config.Copy, vocabulary: Vocabulary) -> None:
        """Choose the alphabet."""
        (self.alphabet,) = vocabulary.alphabets("copy", settings.alphabet)
        self.separator = vocabulary.special["separator"]

    def example(self, random: np.random.Generator, length: int) -> Example:
        """Return a string and its copy; an even ``length`` holds one random token before the string."""
        span = (length - 1) // 2
        if span < 2:
            raise UserError(f"copy needs prompts of 5 tokens or more, not {length}: raise the multiple of L")
        lead = random.choice(self.alphabet, length - 1 - 2 * span)
        string = random.choice(self.alphabet, span)
        tokens = np.concatenate((lead, string, [self.separator], string)).astype(np.int64)
        answer = np.zeros(length, dtype=bool)
        answer[length - span + 1 :] = True
        return Example(tokens, answer, self.alphabet)

    def chance(self, length: int) -> float:
        """Return one over the size of the alphabet."""
        return 1 / len(self.alphabet)
