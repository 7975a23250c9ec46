"""The loss past the training length: at every position, and on fixed tokens with ever more context.

Loss by position alone confounds position with content, and flatters a model that ignores what is far.
So two tables are written. ``extrapolation.parquet`` holds the loss at every position from one pass over
windows of the longest length; ``context.parquet`` holds the loss on the same tokens, the last
``targets`` of each window, when the model sees only the last 1/2, 1, 2, ... training lengths before
them, so that contexts are compared token by token.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hope import config
from hope.data.windows import evaluation_windows, extrapolation_length
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.inputs import batches, open_inputs
from hope.model.loss import token_losses, weighted_loss
from hope.tables import write_table

_WINDOW = {"extension": "string", "document": "int64", "window": "int64"}
POSITIONS = _WINDOW | {"start": "int64", "end": "int64", "tokens": "int64", "nll": "float64"}
CONTEXTS = _WINDOW | {"context": "int64", "tokens": "int64", "nll": "float64"}


def extrapolate(settings: config.Extrapolation, windows: config.Windows, model: Path, data: Path, output: Path) -> None:
    """Write ``extrapolation.parquet`` and ``context.parquet`` of one model.

    A model whose encoding ends (``model.encoding.longest``) is run to its end only: bins and contexts
    past it have no rows. The windows depend on the data and the settings alone, so that the losses of
    all encodings and seeds pair on them.

    Args:
        settings: what is measured.
        windows: how windows are cut: the settings of training.
        model: folder of the trained model.
        data: folder that holds ``validation/``.
        output: folder of the two tables.

    Raises:
        UserError: a file is missing, too few held-out documents are long enough, the targets do not
            fit into the shortest context, or a loss is not finite.
    """
    decoder, corpus = open_inputs(model, data, settings.threads)
    length = decoder.training_length
    contexts = context_lengths(settings, length)
    tokens, documents = evaluation_windows(
        corpus, settings.documents, settings.windows, extrapolation_length(settings, length), windows
    )
    start = corpus.special["start"] if windows.start_token else None

    losses = window_losses(decoder, tokens)
    whole = tokens.shape[1] - 1
    on_targets = context_losses(decoder, tokens, settings.targets, [c for c in contexts if c != whole], start)
    if whole in contexts and losses.shape[1] == whole:
        on_targets[whole] = losses[:, -settings.targets :]  # the one pass has read the whole window
    for found in (losses, *on_targets.values()):
        if not np.isfinite(found).all():
            raise UserError(
                f"{model}: the loss is not finite on the held-out text; if training diverged, lower "
                "training.learning_rate, else lower extrapolation.longest"
            )
    places = {"extension": "none", "document": documents, "window": _numbers_within(documents)}
    edges = bin_edges(settings, length)
    _write_positions(output / "extrapolation.parquet", places, losses, edges)
    _write_contexts(output / "context.parquet", places, on_targets, settings.targets)


def bin_edges(settings: config.Extrapolation, training_length: int) -> np.ndarray:
    """Return the edges of the position bins, int64, from 0 to the longest context.

    Each training length is cut into ``round(1 / bin_share)`` bins, at most one a token, as equal as whole
    tokens allow; so an edge lies at every multiple of the training length.
    """
    bins = min(round(1 / settings.bin_share), training_length)
    return np.arange(bins * settings.longest + 1) * training_length // bins


def context_lengths(settings: config.Extrapolation, training_length: int) -> list[int]:
    """Return the contexts of the fixed targets, in tokens.

    Raises:
        UserError: the shortest one does not hold the targets.
    """
    contexts = [round(multiple * training_length) for multiple in settings.contexts]
    if settings.targets > contexts[0]:
        raise UserError(
            f"extrapolation.targets: {settings.targets} tokens do not fit into the shortest of extrapolation.contexts, "
            f"{contexts[0]} tokens; lower targets, or leave out that context"
        )
    return contexts


@torch.inference_mode()
def window_losses(model: Decoder, tokens: np.ndarray) -> np.ndarray:
    """Return the loss at each position of each window, in nats, float32 ``[windows, positions]``.

    Column t is the loss on token t + 1 given tokens 0 to t.

    Args:
        model: the model.
        tokens: windows, int64 ``[windows, positions + 1]``; cut to the positions that the encoding has.
    """
    length = tokens.shape[1] - 1
    if model.encoding.longest is not None:
        length = min(length, model.encoding.longest)
    device = model.embedding.weight.device
    losses = np.empty((len(tokens), length), dtype=np.float32)
    for rows in batches(len(tokens), length, device, "loss at every position"):
        batch = torch.from_numpy(tokens[rows, : length + 1]).to(device)
        losses[rows] = token_losses(model, batch).cpu().numpy()
    return losses


@torch.inference_mode()
def context_losses(
    model: Decoder, tokens: np.ndarray, targets: int, contexts: list[int], start: int | None
) -> dict[int, np.ndarray]:
    """Return, for each context, the loss on the last ``targets`` tokens of each window, in nats.

    For a context of c tokens the model reads the c tokens before a window's last one, at positions 0 to
    c - 1, in one pass: the last target is told from exactly c tokens and the first from
    c - ``targets`` + 1. So no target has more than c tokens of context and no pass goes past position
    c - 1. (A pass for each target would give each exactly c, at ``targets`` times the cost.)

    Args:
        model: the model.
        tokens: windows, int64 ``[windows, positions + 1]``.
        targets: how many tokens at the end of a window are predicted.
        contexts: tokens of context; those that the encoding has no positions for are left out.
        start: the start token where windows begin with it, as in training: it is then the first of the
            c tokens.

    Returns:
        float32 ``[windows, targets]`` by context.
    """
    device = model.embedding.weight.device
    result = {}
    for context in contexts:
        if model.encoding.longest is not None and context > model.encoding.longest:
            continue
        inputs = tokens[:, -context - 1 : -1].copy()
        if start is not None:
            inputs[:, 0] = start
        losses = np.empty((len(tokens), targets), dtype=np.float32)
        for rows in batches(len(tokens), context, device, f"loss with {context} tokens of context"):
            hidden = model(torch.from_numpy(inputs[rows]).to(device))[:, -targets:]
            asked = torch.from_numpy(tokens[rows, -targets:]).to(device)
            _, found = weighted_loss(model, hidden, asked, torch.ones(asked.shape, device=device))
            losses[rows] = found.cpu().numpy()
        result[context] = losses
    return result


def _numbers_within(documents: np.ndarray) -> np.ndarray:
    """Return the number of each window among those of its document, from 0, in order of appearance."""
    numbers = np.zeros(len(documents), dtype=np.int64)
    for document in np.unique(documents):
        same = documents == document
        numbers[same] = np.arange(same.sum())
    return numbers


def _rows(places: dict[str, Any], columns: int) -> dict[str, Any]:
    """Return the first columns of a table with ``columns`` rows a window."""
    return {
        "extension": [places["extension"]] * (len(places["document"]) * columns),
        "document": np.repeat(places["document"], columns),
        "window": np.repeat(places["window"], columns),
    }


def _write_positions(path: Path, places: dict[str, Any], losses: np.ndarray, edges: np.ndarray) -> None:
    """Write a row for each window and bin: the summed loss of the bin's tokens."""
    edges = edges[edges <= losses.shape[1]]
    sums = np.add.reduceat(losses[:, : edges[-1]].astype(np.float64), edges[:-1], axis=1)
    table = _rows(places, sums.shape[1]) | {
        "start": np.tile(edges[:-1], len(sums)),
        "end": np.tile(edges[1:], len(sums)),
        "tokens": np.tile(np.diff(edges), len(sums)),
        "nll": sums.reshape(-1),
    }
    write_table(path, table, POSITIONS)


def _write_contexts(path: Path, places: dict[str, Any], losses: dict[int, np.ndarray], targets: int) -> None:
    """Write a row for each window and context: the summed loss of the same targets."""
    sums = np.stack([found.astype(np.float64).sum(axis=1) for found in losses.values()], axis=1)
    table = _rows(places, sums.shape[1]) | {
        "context": np.tile(np.array(list(losses), dtype=np.int64), len(sums)),
        "tokens": np.full(sums.size, targets, dtype=np.int64),
        "nll": sums.reshape(-1),
    }
    write_table(path, table, CONTEXTS)
