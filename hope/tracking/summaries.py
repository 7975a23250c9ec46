"""The few numbers of a stage's tables that a person compares runs by, as metrics.

Each endpoint of a model as it was trained is one number, the mean over its documents or prompts, under the name
``<table>/<measure>`` with its qualifiers behind it (:attr:`hope.measures.Endpoint.metric`). A name under
``by_position``, ``by_context``, ``by_length``, ``by_query`` or ``by_tokens_seen`` is a curve: its steps are tokens, so
that the store's plots draw the loss over positions, say. Losses are in nats a token, multiples are of the training
length L. Intervals and verdicts are made from the same tables by ``hope.reporting``; a view needs no second statistics.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from hope.config import Arm
from hope.measures import measured
from hope.measures.losses import per_token

TABLES = {
    "analyze-attention": ("ushape", "divergence", "components", "intervention"),
    "analyze-dynamics": ("dynamics",),
    "extrapolate": ("extrapolation", "context", "strided"),
    "retrieve": ("retrieval",),
}
"""The tables of each stage that have a summary."""
_CURVES = {
    "context_loss": "by_context/loss",
    "accuracy": "by_length/{task}_accuracy",
    "exact": "by_length/{task}_exact",
}
"""Measures that are a curve over their multiples too."""


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


def stage_points(stage: str, folder: Path, arm: Arm, time: int) -> list[Point]:
    """Return the summary of one stage of one model.

    Args:
        stage: one of :data:`TABLES`.
        folder: where its tables lie; a table that is not there gives nothing.
        arm: whose model it is.
        time: what the points are dated, in milliseconds since 1970.
    """
    paths = {name: folder / f"{name}.parquet" for name in TABLES[stage]}
    tables = {name: pd.read_parquet(path) for name, path in paths.items() if path.is_file()}
    found = [*_endpoints(tables, arm), *_curves(tables)]
    return [Point(name, step, value, time) for name, step, value in found if math.isfinite(value)]


def _endpoints(tables: dict[str, pd.DataFrame], arm: Arm) -> Found:
    """Yield the endpoints of the model as it was trained, depths taken together."""
    for endpoint, values in measured(tables, arm):
        if endpoint.extension is None and endpoint.depth is None:
            yield endpoint.metric, 0, float(values.mean())
            if endpoint.measure in _CURVES and endpoint.multiple is not None:
                name = _CURVES[endpoint.measure].format(task=endpoint.task)
                yield name, round(endpoint.multiple * arm.training.length), float(values.mean())


def _curves(tables: dict[str, pd.DataFrame]) -> Found:
    """Yield what is no endpoint: curves over positions, queries and training, and chance."""
    if "extrapolation" in tables:
        table = tables["extrapolation"]
        losses = per_token(table[table["extension"] == "none"], ["end"])
        yield from (("by_position/loss", int(str(end)), float(loss)) for end, loss in losses.items())
    if "retrieval" in tables:
        for task, chance in tables["retrieval"].groupby("task")["chance"].mean().items():
            yield f"retrieval/chance_{task}", 0, float(chance)
    if "ushape" in tables:
        for (subject, query), cell in tables["ushape"].groupby(["subject", "query"]):
            yield f"by_query/index_{subject}", int(str(query)) + 1, float(cell["index_without_sink"].mean())
    if "dynamics" in tables:
        for (measure, tokens), cell in tables["dynamics"].groupby(["measure", "tokens"]):
            if measure in ("loss", "index", "index_without_sink"):
                yield f"by_tokens_seen/{measure}", int(str(tokens)), float(cell["value"].mean())
