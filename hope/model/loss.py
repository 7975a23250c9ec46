"""Losses that hold the logits of a few tokens at a time."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hope.model.decoder import Decoder

CHUNK_LOGITS = 2**24
"""Logits held at once on a GPU: 64 MiB in float32."""
CHUNK_LOGITS_ON_CPU = 2**20
"""The same on a CPU: 4 MiB stay in the cache, which halves the time of the loss."""


def weighted_loss(model: Decoder, hidden: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of token losses and the token losses themselves.

    Positions of weight 0 are left out of the projection to the vocabulary.

    Args:
        model: gives the projection.
        hidden: ``[batch, tokens, width]``.
        targets: int64 ``[batch, tokens]``.
        weights: float32 ``[batch, tokens]``.

    Returns:
        The sum as a scalar with gradient, and the losses in nats, detached, float32
        ``[batch, tokens]``, 0 where the weight is 0.
    """
    supervised = weights != 0
    losses = F.cross_entropy(model.logits(hidden[supervised]).float(), targets[supervised], reduction="none")
    spread = torch.zeros_like(weights)
    spread[supervised] = losses.detach()
    return (losses * weights[supervised]).sum(), spread


@torch.inference_mode()
def token_losses(model: Decoder, tokens: Tensor) -> Tensor:
    """Return the loss of every token given those before it, in nats, float32 ``[batch, tokens]``.

    The logits are held for a chunk of positions only.

    Args:
        model: the language model.
        tokens: int64 ``[batch, tokens + 1]``.
    """
    hidden = model(tokens[:, :-1]).flatten(0, 1)
    targets = tokens[:, 1:].flatten()
    # One row of logits a token: over a middle dimension the softmax would stride through memory.
    held = CHUNK_LOGITS_ON_CPU if hidden.device.type == "cpu" else CHUNK_LOGITS
    size = max(1, held // model.vocabulary)
    losses = torch.empty(len(targets), device=hidden.device)
    # Written in place: a small result kept from each chunk would pin the heap between two chunks' logits,
    # and the freed ones would add up to the whole.
    for start in range(0, len(targets), size):
        chunk = slice(start, start + size)
        losses[chunk] = F.cross_entropy(model.logits(hidden[chunk]).float(), targets[chunk], reduction="none")
    return losses.view(tokens.shape[0], -1)
