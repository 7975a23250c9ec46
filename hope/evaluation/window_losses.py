"""Losses of many windows: at every position, on fixed targets with some context, and in sliding windows."""

import numpy as np
import torch
from numpy.typing import NDArray

from hope.encodings.extensions import Resized
from hope.model.bounded_passes import pass_over
from hope.model.language_model import LanguageModel
from hope.model.long_pass import last_hidden
from hope.model.loss import losses_of_hidden, losses_of_rows

Losses = NDArray[np.float32]
TokenIds = NDArray[np.int64]


def window_losses(model: LanguageModel, tokens: TokenIds) -> Losses:
    """Return the loss at each position of each window, in nats, float32 ``[windows, positions]``.

    Column t is the loss on token t + 1 given tokens 0 to t. One pass over the windows gives all positions, except
    where angles depend on the number of tokens read: see :func:`pass_lengths`.

    Args:
        model: the model.
        tokens: windows, int64 ``[windows, positions + 1]``; cut to the positions that the encoding has.
    """
    length = tokens.shape[1] - 1
    if model.encoding.longest is not None:
        length = min(length, model.encoding.longest)
    losses = np.empty((len(tokens), length), dtype=np.float32)
    done = 0
    for reach in pass_lengths(model, length):
        read = torch.from_numpy(tokens[:, : reach + 1])
        losses[:, done:reach] = losses_of_rows(model, read, f"loss at every position to {reach:,}")[:, done:].numpy()
        done = reach
    return losses


def pass_lengths(model: LanguageModel, length: int) -> list[int]:
    """Return the number of tokens of each pass that the losses at positions 0 to ``length - 1`` need.

    Usually it is one pass over all tokens. Where angles depend on the number of tokens read, passes read L, 2L, 4L, ...
    up to all tokens, and the loss at a position comes from the shortest pass that reaches it. A pass with the same
    angles as the next longer one is left out.
    """
    if not isinstance(model.encoding, Resized):
        return [length]
    reaches = [model.training_length]
    while 2 * reaches[-1] < length:
        reaches.append(2 * reaches[-1])
    reaches = [reach for reach in reaches if reach < length] + [length]
    angles = [model.encoding.frequencies(reach) for reach in reaches]
    changes = [not torch.equal(one, other) for one, other in zip(angles, angles[1:], strict=False)]
    return [reach for reach, changed in zip(reaches, [*changes, True], strict=True) if changed]


def context_losses(
    model: LanguageModel, tokens: TokenIds, targets: int, contexts: list[int], start: int | None
) -> dict[int, Losses]:
    """Return, for each context, the loss on the last ``targets`` tokens of each window, in nats.

    For a context of c tokens the model reads the c tokens before a window's last one, at positions 0 to c - 1, in one
    pass: the last target is predicted from exactly c tokens and the first from c - ``targets`` + 1. So no target has
    more than c tokens of context, and no pass goes past position c - 1. (One pass per target would give each exactly
    c, at ``targets`` times the cost.)

    Args:
        model: the model.
        tokens: windows, int64 ``[windows, positions + 1]``.
        targets: number of tokens predicted at the end of a window.
        contexts: tokens of context; those longer than the encoding's positions are left out.
        start: the start token, where windows begin with it as in training: it is then the first of the c tokens.

    Returns:
        float32 ``[windows, targets]`` by context.
    """
    result = {}
    for context in contexts:
        if model.encoding.longest is not None and context > model.encoding.longest:
            continue
        result[context] = _target_losses(model, _begun(tokens[:, -context - 1 : -1], start), tokens[:, -targets:])
    return result


def strided_losses(model: LanguageModel, tokens: TokenIds, size: int, stride: int, start: int | None) -> Losses:
    """Return the loss at each position, read in windows of ``size`` tokens that slide by ``stride``.

    Every position is scored once, in the first sliding window that holds it, so that each token has the same weight
    in a mean. The first window scores all of its positions; each later one scores its new positions, which have at
    least ``size - stride`` tokens of context in the window. The last window is moved back to end with the text, which
    gives its few new positions more context.

    Args:
        model: the model; one without positions for ``size`` tokens has no losses.
        tokens: windows, int64 ``[windows, positions + 1]``, of at least ``size`` positions.
        size: tokens read at a time.
        stride: tokens from one sliding window to the next, at most ``size``.
        start: the start token, where windows begin with it as in training: it then replaces the first token of every
            sliding window.

    Returns:
        float32 ``[windows, positions]``, or no columns.
    """
    length = tokens.shape[1] - 1
    if model.encoding.longest is not None and size > model.encoding.longest:
        return np.empty((len(tokens), 0), dtype=np.float32)
    losses = np.empty((len(tokens), length), dtype=np.float32)
    done = 0
    while done < length:
        first = min(done + stride, length) - size if done else 0
        read = torch.from_numpy(_begun(tokens[:, first : first + size + 1], start))
        new = losses_of_rows(model, read, f"loss in windows of {size:,}")
        losses[:, done : first + size] = new[:, done - first :].numpy()
        done = first + size
    return losses


def _target_losses(model: LanguageModel, inputs: TokenIds, targets: TokenIds) -> Losses:
    """Return the loss on ``targets``, the last of which follows ``inputs``, from one pass per row."""
    device, (count, context) = model.device, inputs.shape
    first = context - targets.shape[1]

    def work(rows: slice) -> Losses:
        hidden = last_hidden(model, torch.from_numpy(inputs[rows]).to(device), first)
        asked = torch.from_numpy(targets[rows]).to(device)
        return losses_of_hidden(model, hidden.flatten(0, 1), asked.flatten()).view(asked.shape).cpu().numpy()

    return np.concatenate(pass_over(work, count, context, device, f"loss with {context:,} tokens of context"))


def _begun(tokens: TokenIds, start: int | None) -> TokenIds:
    """Return the windows with the first token replaced by the start token, if there is one."""
    tokens = tokens.copy()
    if start is not None:
        tokens[:, 0] = start
    return tokens
