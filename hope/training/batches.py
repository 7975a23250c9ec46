"""The batch of a step: a pure function of the data, the settings, the seed and the step.

No encoding, rank or number of processes enters, so all encodings of a seed see the same batches, a
resumed training needs no state of the data, and any number of processes sees the same tokens.
"""

from dataclasses import dataclass

import numpy as np

from hope import config
from hope.data.tokens import TokenCorpus
from hope.data.windows import training_windows
from hope.seeding import generator
from hope.tasks import Task, Vocabulary, build_task


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
        vocabulary = Vocabulary(corpus.vocabulary, corpus.special)
        mixture = stage.mixture
        names = sorted(mixture.tasks) if mixture.share > 0 else []
        self.tasks: list[Task] = [build_task(name, stage.tasks[name], vocabulary, corpus) for name in names]
        shares = np.array([mixture.tasks[name] for name in names], dtype=float)
        self.shares = shares / shares.sum() if names else shares
        self.sizes = np.array([round(multiple * stage.training.length) for multiple in mixture.multiples])

    def batch(self, step: int) -> Batch:
        """Return the batch of ``step``.

        The last windows of the batch are filled with synthetic examples, one behind another from a
        random place on; the text before them is learned from as text.
        """
        training, mixture = self.stage.training, self.stage.mixture
        count, length = training.batch_windows, training.length
        tokens = training_windows(self.corpus, self.stage.seed, step, count, length, training.windows)
        text = np.ones((count, length), dtype=bool)
        answers = np.zeros((count, length), dtype=bool)
        random = generator("mixture", self.stage.seed, step)
        for row in range(count - round(mixture.share * count), count):
            size = int(random.choice(self.sizes))
            start = first = int(random.integers(0, length + 2 - size))
            while size:
                example = self.tasks[random.choice(len(self.tasks), p=self.shares)].example(random, size)
                tokens[row, start : start + size] = example.tokens
                # Target t is token t + 1; the first token of all has none.
                answers[row, np.flatnonzero(example.lessons) + start - 1] = True
                start += size
                fitting = self.sizes[self.sizes <= length + 1 - start]
                size = int(random.choice(fitting)) if len(fitting) else 0
            text[row, max(0, first - 1) :] = False
        weights = text / max(1, text.sum()) + mixture.weight * answers / max(1, answers.sum())
        return Batch(tokens, weights.astype(np.float32), answers)
