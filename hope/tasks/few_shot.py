"""Few-shot following: examples show a mapping that is new in each prompt, then every input is asked.

::

    . . x2 y2 x1 y1 x1 y1 x2 y2 . . . x1 | y1   x2 | y2
        examples                           answer    answer

By number of examples: the setting ``examples``. By distance: ``depths``, the place of the block of examples among
the filler. Without ``examples`` as many are shown as fit, without filler.

All inputs and outputs of a prompt differ, and come from one alphabet: with outputs from a set of their own a small
model learns to name any output that it has read, is right once in as many times as there are inputs, and stays there.
"""

from collections.abc import Sequence

import numpy as np

from hope.tasks.task import Example, Source, Task, Vocabulary, place, too_short

_FILLER = 32


class FewShot(Task):
    """Few-shot following, as a lookup of input-output pairs each of which may be shown several times."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        source: Source,
        inputs: int = 4,
        examples: int | None = None,
        alphabet: int = 64,
        depths: Sequence[float] = (),
    ) -> None:
        """Choose the alphabet and the filler: disjoint sets of tokens."""
        super().__init__(vocabulary, source)
        self.count, self.shown, self.depths = inputs, examples, tuple(depths)
        self.alphabet, self.filler = vocabulary.alphabets("few_shot", alphabet, _FILLER)

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return examples, in which each input comes at least once, and the questions in an order of their own."""
        shortest = 4 if self.shown is None else 2 * (self.shown + self.count)
        if length < shortest:
            raise too_short("few_shot", shortest, length)
        count = min(self.count, length // 4)
        shown = length // 2 - count if self.shown is None else self.shown
        inputs, outputs = np.split(random.choice(self.alphabet, 2 * count, replace=False), 2)
        order = random.permutation(np.concatenate((np.arange(count), random.integers(count, size=shown - count))))
        asked = random.permutation(count)

        context = length - 2 * count
        start = place(random, 1.0 if self.shown is None else depth, context - 2 * shown)
        tokens = random.choice(self.filler, length).astype(np.int64)
        tokens[start : start + 2 * shown] = np.stack((inputs[order], outputs[order]), axis=1).reshape(-1)
        tokens[context:] = np.stack((inputs[asked], outputs[asked]), axis=1).reshape(-1)
        answer = np.zeros(length, dtype=bool)
        answer[context + 1 :: 2] = True
        taught = answer.copy()
        first = np.unique(order, return_index=True)[1]
        # An input that was shown before is a question too.
        taught[start + 1 + 2 * np.setdiff1d(np.arange(shown), first)] = True
        return Example(tokens, answer, self.alphabet, taught)
