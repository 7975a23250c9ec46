"""The few numbers of a stage's tables that a person compares runs by, as metrics.

A name under ``by_position``, ``by_context``, ``by_length`` or ``by_tokens_seen`` is a curve: its steps are tokens, so
that the store's plots draw the loss over positions, say. All else is one number. Losses are in nats a token, means
over documents and windows, multiples are of the training length L. Intervals and verdicts are made from
the same tables by ``hope.reporting``; a view needs no second statistics.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd


class Point(NamedTuple):
    """One value of a metric."""

    name: str
    step: int
    value: float
    time: int  # milliseconds since 1970


Found = Iterator[tuple[str, int, float]]


def history_points(path: Path) -> list[Point]:
    """Return the points of the loss curve of a ``history.parquet``."""
    table = pd.read_parquet(path)
    names = [name for name in table.columns if name not in ("step", "time", "tokens")]
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    return [
        Point(name, int(row["step"]), float(row[name]), round(row["time"] * 1000))
        for row in rows
        for name in names
        if math.isfinite(row[name])
    ]


def stage_points(stage: str, folder: Path, length: int, time: int) -> list[Point]:
    """Return the summary of one stage of one model.

    Args:
        stage: one of :data:`TABLES`.
        folder: where its tables lie; a table that is not there gives nothing.
        length: the training length L in tokens.
        time: what the points are dated, in milliseconds since 1970.
    """
    points = []
    for name, summarise in TABLES[stage].items():
        if (folder / name).is_file():
            found = summarise(pd.read_parquet(folder / name), length)
            points += [Point(key, step, value, time) for key, step, value in found if math.isfinite(value)]
    return points


def _cells(table: pd.DataFrame, *by: str) -> Iterator[tuple[Any, ...]]:
    """Yield the values of the columns ``by``, and the rows that have them."""
    for values, cell in table.groupby(list(by)):
        yield *values, cell


def _loss(cell: pd.DataFrame) -> float:
    """Return the loss in nats a token."""
    return float(cell["nll"].sum() / cell["tokens"].sum())


def _extrapolation(table: pd.DataFrame, length: int) -> Found:
    table = table[table["extension"] == "none"]
    for end, cell in _cells(table, "end"):
        yield "by_position/loss", int(end), _loss(cell)
    low, high, longest = 0, length, int(table["end"].max())
    while low < longest:
        inside = table[(table["start"] >= low) & (table["end"] <= high)]
        name = "within_L" if low == 0 else f"{low // length}L_to_{min(high, longest) / length:g}L"
        if len(inside):
            yield f"loss/{name}", 0, _loss(inside)
        low, high = high, 2 * high


def _context(table: pd.DataFrame, length: int) -> Found:
    losses = {int(context): _loss(cell) for context, cell in _cells(table[table["extension"] == "none"], "context")}
    for context, loss in losses.items():
        yield "by_context/loss", context, loss
        if context > length and length in losses:
            yield f"context_gain/{context / length:g}L", 0, losses[length] - loss


def _retrieval(table: pd.DataFrame, length: int) -> Found:
    for task, tokens, cell in _cells(table, "task", "length"):
        for measure in ("accuracy", "exact"):
            yield f"by_length/{task}_{measure}", int(tokens), float(cell[measure].mean())
        yield f"{task}_accuracy/{tokens / length:g}L", 0, float(cell["accuracy"].mean())
    for task, cell in _cells(table, "task"):
        yield f"{task}_accuracy/chance", 0, float(cell["chance"].mean())


def _ushape(table: pd.DataFrame, length: int) -> Found:
    for subject, query, cell in _cells(table, "subject", "query"):
        yield f"ushape_index_{subject}/{(query + 1) / length:.3g}L", 0, float(cell["index_without_sink"].mean())


def _divergence(table: pd.DataFrame, length: int) -> Found:
    for query, cell in _cells(table, "query"):
        yield f"divergence/{(query + 1) / length:.3g}L", 0, float(cell["divergence"].mean())


def _intervention(table: pd.DataFrame, length: int) -> Found:
    for mode, chosen, measure, cell in _cells(table, "mode", "set", "measure"):
        name = "as_it_is" if mode == "none" else f"{mode}_{chosen}"
        yield f"intervention/{name}/{measure}", 0, float(cell["value"].mean())


def _dynamics(table: pd.DataFrame, length: int) -> Found:
    for measure in ("loss", "index", "index_without_sink"):
        for tokens, cell in _cells(table[table["measure"] == measure], "tokens"):
            yield f"by_tokens_seen/{measure}", int(tokens), float(cell["value"].mean())


TABLES: dict[str, dict[str, Callable[[pd.DataFrame, int], Found]]] = {
    "analyze-attention": {
        "ushape.parquet": _ushape,
        "divergence.parquet": _divergence,
        "intervention.parquet": _intervention,
    },
    "analyze-dynamics": {"dynamics.parquet": _dynamics},
    "extrapolate": {"extrapolation.parquet": _extrapolation, "context.parquet": _context},
    "retrieve": {"retrieval.parquet": _retrieval},
}
