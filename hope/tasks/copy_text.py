"""Copy of real text: repeat a span of the corpus.

::

    def open ( path SEPARATOR def | open ( path
                                    answer

Some tokens of a text can be guessed without copying, and a guess is made among the distinct tokens of the span, so
chance understates the baseline: compare with another model's score.
"""

from hope.tasks.built_in import BoundTask, BuiltIn, Random, repeated
from hope.tasks.task import Example


class CopyText(BuiltIn):
    """Repeat a span of the corpus."""

    reads_text = True

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 5

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return a span and its copy; if ``length`` is even, one more token of the text comes first."""
        import numpy as np

        span = (length - 1) // 2
        lead, string = np.split(bound.source.span(random, length - 1 - span), [length - 1 - 2 * span])
        return repeated(lead, string, bound.separator, np.unique(string))
