"""The few numbers of a stage's tables that a person compares runs by, as metrics.

Each endpoint of a model as it was trained is one number, the mean over its documents or prompts, under the name
``<table>/<measure>`` with its qualifiers (:attr:`hope.measures.Endpoint.metric`). A name under ``by_position``,
``by_context``, ``by_length``, ``by_query`` or ``by_tokens_seen`` is a curve with tokens as steps, which the store's
plots draw. Losses are in nats per token, multiples are of the training length L. Intervals and verdicts are made from
the same tables by ``hope.reporting``.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hope.config import Arm
from hope.measures import MEASURES, measured
from hope.measures.losses import per_token

TABLES = {measure.source.name for measure in MEASURES.values()} | {"dynamics"}
# Measures that are a curve over their multiples too.
CURVES = {
    "context_loss": "by_context/loss",
    "accuracy": "by_length/{task}_accuracy",
    "exact": "by_length/{task}_exact",
}
Values = Iterator[tuple[str, int, float]]


class Point(NamedTuple):
    """One value of a metric."""

    name: str
    step: int
    value: float
    time: int  # milliseconds since 1970


def history_points(path: Path) -> list[Point]:
    """Return the points of the loss curve of a ``history.parquet``."""
    points = pd.read_parquet(path).drop(columns="tokens").melt(["step", "time"]).itertuples(index=False)
    return [
        Point(str(name), int(step), value, round(1000 * time))
        for step, time, name, value in points
        if math.isfinite(value)
    ]


def stage_points(files: Iterable[Path], arm: Arm, time: int) -> list[Point]:
    """Return the summary of one stage of one model.

    Args:
        files: those that the stage wrote.
        arm: the model's.
        time: the points' time, in milliseconds since 1970.
    """
    tables = {path.stem: pd.read_parquet(path) for path in files if path.stem in TABLES and path.suffix == ".parquet"}
    values = [*_endpoints(tables, arm), *_curves(tables)]
    return [Point(name, step, value, time) for name, step, value in values if math.isfinite(value)]


def _endpoints(tables: dict[str, pd.DataFrame], arm: Arm) -> Values:
    """Yield the endpoints of the model as it was trained, all depths together."""
    for endpoint, values in measured(tables, arm):
        if endpoint.extension is None and endpoint.depth is None:
            yield endpoint.metric, 0, float(values.mean())
            if endpoint.measure in CURVES and endpoint.multiple is not None:
                name = CURVES[endpoint.measure].format(task=endpoint.task)
                yield name, round(endpoint.multiple * arm.training.length), float(values.mean())


def _curves(tables: dict[str, pd.DataFrame]) -> Values:
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
