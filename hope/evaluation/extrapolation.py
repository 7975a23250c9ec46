"""The loss past the training length: at every position, and on fixed tokens with more and more context.

Loss by position alone confounds position with content, and favours a model that ignores distant tokens. So there are
two tables. ``extrapolation.parquet`` holds the loss at every position, from one pass over windows of the longest
length. ``context.parquet`` holds the loss on the same tokens, the last ``targets`` of each window, given only the last
1/2, 1, 2, ... training lengths before them, so that contexts are compared token by token. ``strided.parquet`` holds
the usual perplexity in sliding windows, where the config has it. Each is measured for the model as trained and with
every length extension that applies to its encoding.
"""

from pathlib import Path
from typing import Any

import numpy as np

from hope import config
from hope.data.windows import evaluation_windows, extrapolation_length
from hope.encodings.extensions import extended, refusal
from hope.errors import UserError
from hope.evaluation.window_losses import Losses, TokenIds, context_losses, strided_losses, window_losses
from hope.model.kept import Arrays, Kept
from hope.model.language_model import LanguageModel
from hope.model.loading import open_model_with_data
from hope.tables import write_table

_WINDOW = {"extension": "string", "document": "int64", "window": "int64"}
_SUM = {"tokens": "int64", "nll": "float64"}
POSITION_SCHEMA = _WINDOW | {"start": "int64", "end": "int64"} | _SUM
CONTEXT_SCHEMA = _WINDOW | {"context": "int64"} | _SUM
STRIDED_SCHEMA = _WINDOW | {"read": "int64", "stride": "int64", "context": "int64"} | _SUM
_TABLES = {"extrapolation": POSITION_SCHEMA, "context": CONTEXT_SCHEMA, "strided": STRIDED_SCHEMA}

Columns = dict[str, Any]


def extrapolate(settings: config.Extrapolation, windows: config.Windows, model: Path, data: Path, output: Path) -> None:
    """Write ``extrapolation.parquet``, ``context.parquet`` and ``strided.parquet`` of one model.

    A model whose encoding has a last position (``model.encoding.longest``) is run up to it: bins and contexts past it
    have no rows. An extension that does not apply to the encoding has no rows either, and a printed line gives the
    reason. The windows depend on the data and the settings alone, so that the losses of all encodings, extensions and
    seeds are paired.

    Args:
        settings: of the evaluation.
        windows: how windows are cut, as in training.
        model: folder of the trained model.
        data: folder that holds ``validation/``.
        output: folder of the tables.

    Raises:
        UserError: a file is missing, too few held-out documents are long enough, the targets do not
            fit into the shortest context, or a loss is not finite.
    """
    decoder, corpus = open_model_with_data(model, data, settings.threads)
    context_lengths(settings, decoder.training_length)
    tokens, documents = evaluation_windows(
        corpus,
        settings.documents,
        settings.windows,
        extrapolation_length(settings, decoder.training_length),
        windows,
    )
    start = corpus.special["start"] if windows.start_token else None
    write_extrapolation(settings, decoder, model, tokens, documents, start, output)


def write_extrapolation(
    settings: config.Extrapolation,
    model: LanguageModel,
    name: Path,
    tokens: TokenIds,
    documents: np.ndarray,
    start: int | None,
    output: Path,
    kept: Kept | None = None,
    remedy: str = "if training diverged, lower training.learning_rate, else lower extrapolation.longest",
) -> None:
    """Write the tables of :func:`extrapolate` for a loaded model and given windows.

    Args:
        settings: of the evaluation.
        model: the model.
        name: its folder, which errors name.
        tokens: windows, int64 ``[windows, positions + 1]``.
        documents: the document of each.
        start: the start token, where windows begin with it.
        output: folder of the tables.
        kept: keeps what is measured of the model as trained, and with each extension.
        remedy: what to do if a loss is not finite.

    Raises:
        UserError: a loss is not finite.
    """
    kept = kept or Kept()
    places = {"document": documents, "window": _numbers_within(documents)}
    parts: dict[str, list[Columns]] = {name: [] for name in _TABLES}
    for extension in (None, *settings.extensions):
        label = "none" if extension is None else extension.label
        if extension is not None:
            reason = refusal(model.encoding, extension)
            if reason is not None:
                print(f"extension {label} is left out: {reason}", flush=True)
                continue
            print(f"extension {label}", flush=True)

        def measure(extension: config.Extension | None = extension) -> Arrays:
            with extended(model, extension):
                tables = _measure(settings, model, tokens, start)
            return {f"{table} {key}": column for table, columns in tables.items() for key, column in columns.items()}

        measured = kept.get(f"losses-{label}", measure)
        for table in _TABLES:
            columns = {
                key.removeprefix(f"{table} "): column for key, column in measured.items() if key.startswith(f"{table} ")
            }
            if not np.isfinite(columns["nll"]).all():
                raise UserError(f"{name}: the loss is not finite on the held-out text (extension {label}); {remedy}")
            parts[table].append(_rows(label, places, columns))
    for table, schema in _TABLES.items():
        joined = {column: np.concatenate([part[column] for part in parts[table]]) for column in schema}
        write_table(output / f"{table}.parquet", joined, schema)


def position_edges(settings: config.Extrapolation, training_length: int) -> np.ndarray:
    """Return the edges of the position bins, int64, from 0 to the longest context.

    Each training length is cut into ``round(1 / bin_share)`` bins, at most one per token, of sizes as equal as
    possible; so there is an edge at every multiple of the training length.
    """
    bins = min(round(1 / settings.bin_share), training_length)
    return np.arange(bins * settings.longest + 1) * training_length // bins


def context_lengths(settings: config.Extrapolation, training_length: int) -> list[int]:
    """Return the contexts of the fixed targets, in tokens.

    Raises:
        UserError: the targets do not fit into the shortest one.
    """
    contexts = [round(multiple * training_length) for multiple in settings.contexts]
    if settings.targets > contexts[0]:
        raise UserError(
            f"extrapolation.targets: {settings.targets} tokens do not fit into the shortest of extrapolation.contexts, "
            f"{contexts[0]} tokens; lower targets, or leave out that context"
        )
    return contexts


def _measure(
    settings: config.Extrapolation, model: LanguageModel, tokens: TokenIds, start: int | None
) -> dict[str, Columns]:
    """Return the columns of each table that vary within a window, ``[windows, rows of a window]``."""
    length, targets = model.training_length, settings.targets
    whole, contexts = tokens.shape[1] - 1, context_lengths(settings, length)
    losses = window_losses(model, tokens)
    on_targets = context_losses(model, tokens, targets, [c for c in contexts if c != whole], start)
    if whole in contexts and losses.shape[1] == whole:
        on_targets[whole] = losses[:, -targets:]  # the last pass has read the whole window
    tables = {
        "extrapolation": _by_position(losses, position_edges(settings, length)),
        "context": _by_context(on_targets, targets),
        "strided": _slid(np.empty((len(tokens), 0), dtype=np.float32), 1, 1),
    }
    if settings.strided is not None:
        size = max(1, round(settings.strided.window * length))
        stride = min(size, max(1, round(settings.strided.stride * length)))
        tables["strided"] = _slid(strided_losses(model, tokens, size, stride, start), size, stride)
    return tables


def _by_position(losses: Losses, edges: np.ndarray) -> Columns:
    """Return one row per bin: the summed loss of its tokens."""
    edges = edges[edges <= losses.shape[1]]
    sums = np.add.reduceat(losses[:, : edges[-1]].astype(np.float64), edges[:-1], axis=1)
    return {"start": edges[:-1], "end": edges[1:], "tokens": np.diff(edges), "nll": sums}


def _by_context(losses: dict[int, Losses], targets: int) -> Columns:
    """Return one row per context: the summed loss of the same targets."""
    sums = np.stack([one.astype(np.float64).sum(axis=1) for one in losses.values()], axis=1)
    contexts = np.array(list(losses), dtype=np.int64)
    return {"context": contexts, "tokens": np.full_like(contexts, targets), "nll": sums}


def _slid(losses: Losses, size: int, stride: int) -> Columns:
    """Return two rows: the first tokens of the text, which have less context than the others, and the others."""
    edges = np.array([0, min(size - stride, losses.shape[1]), losses.shape[1]])
    rows = [row for row in (0, 1) if edges[row] < edges[row + 1]]
    sums = np.stack([losses[:, edges[row] : edges[row + 1]].sum(axis=1, dtype=np.float64) for row in (0, 1)], axis=1)
    return {
        "read": np.full(len(rows), size),
        "stride": np.full(len(rows), stride),
        "context": edges[rows] + 1,
        "tokens": np.diff(edges)[rows],
        "nll": sums[:, rows],
    }


def _rows(label: str, places: Columns, columns: Columns) -> Columns:
    """Return the table's columns: those of a window repeated over its rows, those of a row tiled over windows."""
    windows, rows = columns["nll"].shape
    repeated = {name: np.repeat(column, rows) for name, column in places.items()}
    tiled = {name: np.tile(column, windows) for name, column in columns.items() if name != "nll"}
    return {"extension": np.full(windows * rows, label), "nll": columns["nll"].reshape(-1)} | repeated | tiled


def _numbers_within(documents: np.ndarray) -> np.ndarray:
    """Return the number of each window among those of its document, from 0, in order of appearance."""
    numbers = np.zeros(len(documents), dtype=np.int64)
    for document in np.unique(documents):
        same = documents == document
        numbers[same] = np.arange(same.sum())
    return numbers
