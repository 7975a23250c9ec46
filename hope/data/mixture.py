"""The synthetic examples of a training: a pure function of its settings, the seed and the step.

Training writes them over its windows. Evaluation draws them again to check that no prompt occurs among them.
"""

import hashlib
from collections.abc import Iterator

import numpy as np

from hope import config
from hope.data.tokens import TokenCorpus
from hope.seeding import generator
from hope.tasks import Example, Vocabulary, build_task, draw


class Examples:
    """The synthetic examples of one training."""

    def __init__(self, stage: config.TrainStage, vocabulary: Vocabulary, source: TokenCorpus) -> None:
        """Build the tasks of the mixture.

        Args:
            stage: the training.
            vocabulary: of the tokenizer.
            source: the training side of the corpus, from which some tasks take text.
        """
        self.stage = stage
        mixture = stage.mixture
        names = sorted(mixture.all_tasks) if mixture.share > 0 else []
        self.tasks = [(name, build_task(name, stage.tasks[name], vocabulary, source)) for name in names]
        self.shares = _normalised([mixture.tasks.get(name, 0.0) for name in names])
        lead_in = mixture.lead_in
        self.led_steps = stage.led_steps
        self.led_shares = _normalised([lead_in.tasks.get(name, 0.0) for name in names]) if lead_in else self.shares
        # The start token of a window of text stays.
        self.first = int(stage.training.windows.start_token and source.tokens > 0)
        self.sizes = np.array([round(multiple * stage.training.length) for multiple in mixture.multiples])

    def of_step(self, step: int) -> Iterator[tuple[int, int, Example]]:
        """Yield (row, position of the first token, example) for each example in the batch of ``step``.

        The last rows of the batch hold examples: from a random position on, one after another as long as one fits.
        """
        count, length = self.stage.training.batch_windows, self.stage.training.length
        random = generator("mixture", self.stage.seed, step)
        shares = self.led_shares if step < self.led_steps else self.shares
        for row in range(count - self.stage.mixture.windows(count), count):
            size = int(random.choice(self.sizes))
            start = int(random.integers(self.first, length + 2 - size))
            while size:
                name, task = self.tasks[random.choice(len(self.tasks), p=shares)]
                # In the first step twice: a task of the user's own may take randomness from elsewhere.
                yield row, start, draw(name, task, random, size, again=None if step else task)
                start += size
                fitting = self.sizes[self.sizes <= length + 1 - start]
                size = int(random.choice(fitting)) if len(fitting) else 0

    def digests(self) -> set[int]:
        """Return the :func:`digest` of every example of the training."""
        steps = range(self.stage.training.steps)
        return {digest(example) for step in steps for _, _, example in self.of_step(step)}


def _normalised(shares: list[float]) -> np.ndarray:
    """Return the shares scaled to sum to 1, float64; an empty array if there are none."""
    return np.array(shares) / sum(shares) if shares else np.array(shares)


def digest(example: Example) -> int:
    """Return a 64-bit digest of an example's tokens."""
    hashed = hashlib.blake2b(example.tokens.astype("<i8").tobytes(), digest_size=8)
    return int.from_bytes(hashed.digest(), "little")
