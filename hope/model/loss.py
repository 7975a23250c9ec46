"""Losses that hold the logits of a few tokens at a time."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from hope.model.attention import Observer
from hope.model.bounded_passes import pass_over
from hope.model.decoder import Decoder
from hope.model.language_model import LanguageModel
from hope.model.long_pass import last_hidden

CHUNK_LOGITS = 2**26
"""Logits held at once on a GPU: 256 MiB in float32."""
CHUNK_LOGITS_ON_CPU = 2**20
"""The same on a CPU: 4 MiB stay in the cache, which halves the time of the loss."""
FEWEST_ROWS_ON_CPU = 256
"""Rows of logits held at once however large the vocabulary: a product of fewer wastes time on the matrix."""

OfLogits = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def weighted_loss(
    model: Decoder,
    hidden: Tensor,
    targets: Tensor,
    weights: Tensor,
    supervised: Tensor | None = None,
    of_logits: OfLogits | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of token losses and the token losses themselves.

    Gradients of the hidden states and of the projection are made together with the loss, a chunk of logits
    at a time, and kept in the place of the logits; so the memory does not grow with tokens times
    vocabulary, and nothing is computed twice. It can be differentiated once.

    Args:
        model: gives the projection.
        hidden: ``[batch, tokens, width]``.
        targets: int64 ``[batch, tokens]``.
        weights: float32 ``[batch, tokens]``.
        supervised: indices of the weights that are not 0, counted through the rows, int64; others are left
            out of the projection. Found here if None, for which a GPU must be waited for.
        of_logits: :func:`softmax_gradient`, or the same compiled.

    Returns:
        The sum as a scalar with gradient, and the losses in nats, detached, float32
        ``[batch, tokens]``, 0 where the weight is 0.
    """
    if supervised is None:
        supervised = weights.flatten().nonzero()[:, 0]
    rows, targets, flat = hidden.flatten(0, 1), targets.flatten(), weights.flatten()
    if torch.is_grad_enabled():
        made = of_logits or softmax_gradient
        total, losses = _WeightedLoss.apply(rows, model.output_weight, targets, flat, supervised, made)
        return total, losses.view_as(weights)
    losses = torch.zeros_like(flat)
    losses[supervised] = losses_of_hidden(model, rows[supervised], targets[supervised])
    return losses @ flat, losses.view_as(weights)


class _WeightedLoss(Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        projection: Tensor,
        targets: Tensor,
        weights: Tensor,
        supervised: Tensor,
        of_logits: OfLogits,
    ) -> tuple[Tensor, Tensor]:
        losses = torch.zeros_like(weights)
        total = weights.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
        of_hidden, of_projection = torch.zeros_like(hidden), None
        for index in supervised.split(chunk_rows(len(projection), hidden.device)):
            rows, weight = hidden.index_select(0, index), weights.index_select(0, index)
            losses_of_chunk, gradient = of_logits(rows @ projection.t(), targets.index_select(0, index), weight)
            losses.index_copy_(0, index, losses_of_chunk.to(losses.dtype))
            total += losses_of_chunk @ weight.to(losses_of_chunk.dtype)
            of_hidden.index_copy_(0, index, gradient @ projection)
            part = gradient.t() @ rows
            # Summed in float32: in bfloat16 a chunk's part would vanish beside those before it.
            of_projection = part.to(total.dtype) if of_projection is None else of_projection.add_(part)
        assert of_projection is not None, "no indices are one empty chunk"
        ctx.save_for_backward(of_hidden, of_projection.to(projection.dtype))
        ctx.mark_non_differentiable(losses)
        return total, losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        of_hidden, of_projection = ctx.saved_tensors
        return of_hidden * gradient, of_projection * gradient, None, None, None, None


def softmax_gradient(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the token losses ``[rows]`` and the gradient of their weighted sum, in the place of the logits.

    The gradient of row t is ``weight_t (softmax - onehot)``.
    """
    kind = logits.dtype
    logits = logits.to(torch.promote_types(kind, torch.float32))
    weights, targets = weights.to(logits.dtype)[:, None], targets[:, None]
    largest, chosen = logits.amax(dim=-1, keepdim=True), logits.gather(1, targets)
    sums = logits.sub_(largest).exp_().sum(dim=-1, keepdim=True)
    losses = sums.log().add_(largest).sub_(chosen)[:, 0]
    gradient = logits.mul_(weights / sums).scatter_add_(1, targets, -weights)
    return losses, gradient.to(kind)


def chunk_rows(vocabulary: int, device: torch.device) -> int:
    """Return how many rows of logits are held at once."""
    if device.type == "cpu":
        return max(FEWEST_ROWS_ON_CPU, CHUNK_LOGITS_ON_CPU // vocabulary)
    return max(1, CHUNK_LOGITS // vocabulary)


@torch.inference_mode()
def token_losses(model: LanguageModel, tokens: Tensor, observe: Observer | None = None) -> Tensor:
    """Return the loss of every token given those before it, in nats, float32 ``[batch, tokens]``.

    The logits are held for a chunk of positions only, and a long text is read in pieces (:mod:`hope.model.long_pass`),
    unless its attention is observed.

    Args:
        model: the language model.
        tokens: int64 ``[batch, tokens + 1]``.
        observe: is called with the attention of each layer.
    """
    read = tokens[:, :-1]
    hidden = (last_hidden(model, read) if observe is None else model(read, observe=observe)).flatten(0, 1)
    return losses_of_hidden(model, hidden, tokens[:, 1:].flatten()).view(tokens.shape[0], -1)


def losses_of_rows(model: LanguageModel, tokens: Tensor, what: str) -> Tensor:
    """Return :func:`token_losses` of many rows, a pass of bounded size at a time; on the CPU.

    Args:
        model: the language model.
        tokens: int64 ``[rows, tokens + 1]``.
        what: names the work in the progress line.
    """

    def work(rows: slice) -> Tensor:
        return token_losses(model, tokens[rows].to(model.device)).cpu()

    return torch.cat(pass_over(work, len(tokens), tokens.shape[1] - 1, model.device, what))


def losses_of_hidden(model: LanguageModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """Return the losses ``[rows]``, in float32, of ``hidden`` ``[rows, width]``; no gradient."""
    # One row of logits a token: over a middle dimension the softmax would stride through memory.
    size = chunk_rows(model.vocabulary, hidden.device)
    losses = torch.empty(len(targets), device=hidden.device)
    # Written in place: a small result kept from each chunk would pin the heap between two chunks' logits,
    # and the freed ones would add up to the whole.
    for start in range(0, len(targets), size):
        chunk = slice(start, start + size)
        losses[chunk] = F.cross_entropy(model.logits(hidden[chunk]).float(), targets[chunk], reduction="none")
    return losses
