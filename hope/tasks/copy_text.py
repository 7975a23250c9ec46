"""Copy of real text: repeat a span of the corpus.

::

    def open ( path SEPARATOR def | open ( path
                                    answer

Some of a text can be told without its copy, and a guess is made among the distinct tokens of the span: compare
with another model's score rather than with chance alone.
"""

import numpy as np

from hope.tasks.copy import repeated
from hope.tasks.task import Example, Task, too_short


class CopyText(Task):
    """The copy task over spans of real text."""

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return a span and its copy; an even ``length`` holds one token more of the text before the span."""
        span = (length - 1) // 2
        if span < 2:
            raise too_short("copy_text", 5, length)
        lead, string = np.split(self.source.span(random, length - 1 - span), [length - 1 - 2 * span])
        return repeated(lead, string, self.vocabulary.special["separator"], np.unique(string))
