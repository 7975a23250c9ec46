"""The batch of a step: a pure function of the data, the settings, the seed and the step.

No encoding, rank or number of processes enters, so all encodings of a seed see the same batches, a
resumed training needs no state of the data, and any number of processes sees the same tokens.
"""

from dataclasses import dataclass

import numpy as np

from hope import config
from hope.data.mixture import Examples
from hope.data.tokens import TokenCorpus
from hope.data.windows import training_windows
from hope.seeding import generator
from hope.tasks import Vocabulary


@dataclass(frozen=True)
class Batch:
    """A global batch.

    Attributes:
        tokens: int64 ``[windows, length + 1]``.
        weights: float32 ``[windows, length]``: the weight of each target in the loss. The text targets sum
            to 1, the answers of synthetic examples to the mixture's weight, everything else is 0.
        synthetic: bool ``[windows, length]``: targets that are answers.
    """

    tokens: np.ndarray
    weights: np.ndarray
    synthetic: np.ndarray


class Batches:
    """All batches of one training."""

    def __init__(self, stage: config.TrainStage, corpus: TokenCorpus) -> None:
        """Build the tasks of the mixture."""
        self.stage, self.corpus = stage, corpus
        self.vocabulary = Vocabulary(corpus.vocabulary, corpus.special)
        self.examples = Examples(stage, self.vocabulary, corpus)

    def batch(self, step: int) -> Batch:
        """Return the batch of ``step``.

        The last windows of the batch are filled with synthetic examples, one behind another from a
        random place on; the text before them is learned from as text. Where there is no text, symbols drawn at random
        take its place, and nothing is learned from them.
        """
        training = self.stage.training
        count, length = training.batch_windows, training.length
        if self.corpus.tokens:
            tokens = training_windows(self.corpus, self.stage.seed, step, count, length, training.windows)
        else:
            symbols = self.vocabulary.ordinary
            tokens = generator("no text", self.stage.seed, step).choice(symbols, (count, length + 1))
        text = np.full((count, length), self.corpus.tokens > 0)
        answers = np.zeros((count, length), dtype=bool)
        for row, start, example in self.examples.of_step(step):
            tokens[row, start : start + len(example.tokens)] = example.tokens
            # Target t is token t + 1; the first token of all has none.
            answers[row, np.flatnonzero(example.lessons) + start - 1] = True
            text[row, max(0, start - 1) :] = False
        weights = text / max(1, text.sum()) + self.stage.mixture.weight * answers / max(1, answers.sum())
        return Batch(tokens, weights.astype(np.float32), answers)
