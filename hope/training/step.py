"""One optimiser step, through DeepSpeed, on batches prepared ahead of it."""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from hope import config
from hope.training.batches import Batch, Batches

LIKELY = math.log(2.0)
"""A token with a loss below this, in nats, had more than half of the probability, and so more than any other."""


def learning_rate(settings: config.Training, step: int) -> float:
    """Return the learning rate of ``step``, from 0: linear warm-up, then a cosine to the final rate."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    span = settings.learning_rate - settings.final_learning_rate
    return settings.final_learning_rate + 0.5 * span * (1 + math.cos(math.pi * min(1.0, progress)))


def clipped_here(settings: config.Training) -> bool:
    """Return whether :class:`Steps` clips the gradient, and not DeepSpeed.

    In float32 without ZeRO, DeepSpeed would take the norm parameter by parameter, look for the parameters anew at each
    step, and keep the norm to itself.
    """
    return settings.zero_stage == 0 and settings.precision == "float32"


class Steps:
    """The steps of one process of a training.

    A thread prepares the batch of the next step while a step is computed, and a step never waits for the device: its
    result stays there.
    """

    def __init__(self, settings: config.Training, engine: Any, batches: Batches, device: torch.device) -> None:
        """Take steps of ``engine``, a DeepSpeed engine, on ``device``."""
        self.settings, self.engine, self.batches, self.device = settings, engine, batches, device
        # Else DeepSpeed clips.
        self.clipped = list(engine.module.parameters()) if clipped_here(settings) else []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> tuple[Tensor, float | Tensor | None]:
        """Do the optimiser step ``step``, from 0.

        Returns:
            This process's parts of the text loss, of the synthetic loss, and of the weight of the answers that got
            more than half of the probability, float64 ``[3]``; and the norm of the whole gradient before it was
            clipped.
        """
        batch, settings = self._batch(step), self.settings
        rows = slice(dist.get_rank(), None, dist.get_world_size())
        tokens, weights, synthetic = batch.tokens[rows], batch.weights[rows], batch.synthetic[rows]
        # DeepSpeed averages over processes and micro-batches, whereas the weights make a sum.
        factor = settings.batch_windows // settings.micro_windows
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        norm = None
        for start in range(0, len(tokens), settings.micro_windows):
            piece = slice(start, start + settings.micro_windows)
            weight = self._there(weights[piece])
            # Found here, on the CPU: a GPU would be waited for.
            supervised = self._there(np.flatnonzero(weights[piece]))
            loss, losses = self.engine(self._there(tokens[piece]), weight, supervised)
            self.engine.backward(loss * factor)
            if piece.stop >= len(tokens) and self.clipped:
                norm = nn.utils.clip_grad_norm_(self.clipped, settings.clip, foreach=True)
            self.engine.step()
            parts, answers = (losses * weight).double(), self._there(synthetic[piece])
            answer_loss = (parts * answers).sum()
            likely = (weight * answers * (losses < LIKELY)).double().sum()
            sums += torch.stack((parts.sum() - answer_loss, answer_loss, likely))
        return sums, self.engine.get_global_grad_norm() if norm is None else norm

    def _batch(self, step: int) -> Batch:
        """Return the batch of ``step``, and start to prepare the next one."""
        ahead, self._ahead = self._ahead, None
        batch = ahead[1].result() if ahead and ahead[0] == step else self.batches.batch(step)
        if step + 1 < self.settings.steps:
            self._ahead = step + 1, self._thread.submit(self.batches.batch, step + 1)
        return batch

    def _there(self, array: np.ndarray) -> Tensor:
        """Return an array on the device; a GPU takes it from pinned memory without a halt."""
        tensor = torch.from_numpy(array)
        return tensor if self.device.type == "cpu" else tensor.pin_memory().to(self.device, non_blocking=True)
