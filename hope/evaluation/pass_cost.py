"""How long a pass takes: measured on two short rows, and carried on to long ones."""

import time
from collections.abc import Callable

import numpy as np
import torch

from hope.model.kept import Arrays, Kept
from hope.model.language_model import LanguageModel
from hope.model.loss import token_losses

SIZES = (512, 2_048)
"""Tokens of the two rows, as far as the model has so many positions."""


def cost_of_passes(model: LanguageModel, kept: Kept) -> Callable[[int], float]:
    """Return the function from the tokens of a row to the seconds of its loss: a n + b n^2, with b at least 0.

    Args:
        model: the model.
        kept: keeps the measured seconds, so that a call that goes on plans the same.
    """

    def measure() -> Arrays:
        limit = min(end for end in (model.encoding.longest, 2 * model.training_length) if end is not None)
        sizes = [max(2, min(size, limit)) for size in SIZES]
        seconds = []
        for size in (sizes[0], *sizes):  # the first pass of all is slower
            tokens = torch.arange(size + 1, device=model.device)[None] % model.vocabulary
            started = time.monotonic()
            float(token_losses(model, tokens).sum())
            seconds.append(time.monotonic() - started)
        return {"sizes": np.array(sizes), "seconds": np.array(seconds[1:])}

    found = kept.get("cost", measure)
    (small, large), (quick, slow) = found["sizes"].tolist(), found["seconds"].tolist()
    square = max(0.0, (slow / large - quick / small) / (large - small)) if large > small else 0.0
    linear = max(slow / large - square * large, 1e-9)
    return lambda tokens: linear * tokens + square * tokens**2
