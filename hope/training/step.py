"""One optimiser step, through DeepSpeed, on batches prepared ahead of it."""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from hope import config
from hope.training.batches import Batch, Batches
from hope.training.engine import Clip
from hope.training.schedule import learning_rate

LIKELY = math.log(2.0)
"""A token of a loss below this, in nats, had more than half of the probability, and so more than any other."""


class Steps:
    """The steps of one process of a training.

    The batch of the next step is put together in a thread of its own while a step is computed, and a step
    never waits for the device: what it returns stays there.
    """

    def __init__(self, settings: config.Training, engine: Any, batches: Batches, device: torch.device) -> None:
        """Take steps of ``engine`` on ``device``."""
        self.settings, self.engine, self.batches, self.device = settings, engine, batches, device
        self.micro = settings.micro_windows
        # DeepSpeed averages over processes and micro-batches, whereas the weights make a sum.
        self.factor = settings.batch_windows // self.micro
        self.clip = Clip(engine, settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> tuple[Tensor, float | Tensor | None]:
        """Do the optimiser step ``step``, from 0.

        Returns:
            This process's parts of the text loss, of the synthetic loss, and of the weight of the answers that got more
            than half of the probability, float64 ``[3]``; and the norm of the
            whole gradient before it was clipped.
        """
        batch = self._batch(step)
        rows = slice(dist.get_rank(), None, dist.get_world_size())
        tokens, weights, synthetic = batch.tokens[rows], batch.weights[rows], batch.synthetic[rows]
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, step)
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        norm = None
        for part in range(0, len(tokens), self.micro):
            piece = slice(part, part + self.micro)
            weight = self._there(weights[piece])
            # Found here, where they are at hand: a GPU would be waited for.
            supervised = self._there(np.flatnonzero(weights[piece]))
            loss, losses = self.engine(self._there(tokens[piece]), weight, supervised)
            self.engine.backward(loss * self.factor)
            if part + self.micro >= len(tokens):
                norm = self.clip()
            self.engine.step()
            parts = (losses * weight).double()
            asked = self._there(synthetic[piece])
            answers, likely = (parts * asked).sum(), (weight * asked * (losses < LIKELY)).double().sum()
            sums += torch.stack((parts.sum() - answers, answers, likely))
        return sums, self.engine.get_global_grad_norm() if norm is None else norm

    def _batch(self, step: int) -> Batch:
        """Return the batch of ``step``, and have the next one made."""
        ahead, self._ahead = self._ahead, None
        batch = ahead[1].result() if ahead and ahead[0] == step else self.batches.batch(step)
        if step + 1 < self.settings.steps:
            self._ahead = step + 1, self._thread.submit(self.batches.batch, step + 1)
        return batch

    def _there(self, array: np.ndarray) -> Tensor:
        """Return an array on the device; a GPU takes it from pinned memory without a halt."""
        tensor = torch.from_numpy(array)
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)
