"""Observations as matrices of seeds x units, paired between encodings, and their estimates.

Every number with an interval, in a table, a figure, a verdict or a sentence, is paired here.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hope.measures import KEYS, Endpoint, Measure
from hope.statistics import Estimate, crossed_difference, crossed_mean

COLUMNS = ["arm", *KEYS, "encoding", "seed", "unit", "value"]
"""Columns of ``endpoints.parquet``."""
SHARE = (0.0, 1.0)
"""The possible shares of tokens, prompts or attention."""
SCALED = {"estimate": "", "low": "_low", "high": "_high", "detectable": "_detectable"}
"""Numbers that are also shown in percent of perplexity or in points, and the ending of their names there."""


def matrices(frame: pd.DataFrame, by: Sequence[str], value: str, unit: str) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Yield each cell of ``by`` with its means, one row per seed and one column per unit.

    A unit that some seed lacks is left out, so that all seeds are compared on the same units.
    """
    if frame.empty:
        return
    means = frame.groupby([*by, "seed", unit], observed=True)[value].mean()
    table, levels = means.unstack(unit), list[Any](by)
    for cell, part in table.groupby(level=levels, sort=True):
        yield (cell if isinstance(cell, tuple) else (cell,)), part.droplevel(levels).dropna(axis="columns")


def paired(above: pd.DataFrame, below: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two matrices restricted to the seeds and units that both have."""
    seeds, units = above.index.intersection(below.index), above.columns.intersection(below.columns)
    return above.loc[seeds, units], below.loc[seeds, units]


def summarize(
    frame: pd.DataFrame,
    by: Sequence[str],
    value: str,
    unit: str,
    confidence: float,
    minus: pd.DataFrame | None = None,
    bounds: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Return the mean of ``value`` in each cell of ``by``, with its interval over crossed seeds and units.

    Args:
        frame: one row per observation, with columns ``seed``, ``unit``, ``value`` and those of ``by``.
        by: columns that define a cell; observations of one seed and unit within a cell are averaged.
        value: the column averaged.
        unit: the column that numbers documents or prompts.
        confidence: of the interval.
        minus: observations with the same columns to subtract, paired by seed and unit; None for none.
        bounds: the possible values of a bounded mean, as in :func:`interval_columns`.

    Returns:
        One row per cell: the columns of ``by``, estimate, low, high (NaN where there is no interval), seeds, units.
    """
    subtract = None if minus is None else dict(matrices(minus, by, value, unit))
    rows = []
    for cell, matrix in matrices(frame, by, value, unit):
        if subtract is not None:
            if cell not in subtract:
                continue
            matrix, below = paired(matrix, subtract[cell])
        if not matrix.empty:
            own = matrix.to_numpy()
            mean = crossed_mean(own) if subtract is None else crossed_difference(own, below.to_numpy())
            rows.append({**dict(zip(by, cell, strict=True)), **interval_columns(mean, confidence, bounds)})
    return pd.DataFrame(rows, columns=[*by, "estimate", "low", "high", "seeds", "units"])


def interval_columns(estimate: Estimate, confidence: float, bounds: tuple[float, float] | None = None) -> dict:
    """Return the columns of an estimate; the interval is NaN for a single seed.

    The spread between documents of one seed does not show how another seed would differ.

    Args:
        estimate: the estimate.
        confidence: of the interval.
        bounds: the possible values of a bounded measure, such as :data:`SHARE`: its interval is cut to them, and left
            out where all observations are equal, because a model at its ceiling may still fail on other prompts.
    """
    low, high = interval_within(estimate, confidence, bounds)
    known = estimate.decides if bounds is None else estimate.noise_known
    return {
        "estimate": estimate.mean,
        "low": low if known else math.nan,
        "high": high if known else math.nan,
        "df": estimate.df(confidence) if known else math.nan,
        "seeds": estimate.seeds,
        "units": estimate.units,
    }


def interval_within(estimate: Estimate, confidence: float, bounds: tuple[float, float] | None) -> tuple[float, float]:
    """Return the interval of an estimate, cut to the possible values if there are ``bounds``."""
    low, high = estimate.interval(confidence)
    return (low, high) if bounds is None else (max(bounds[0], low), min(bounds[1], high))


def difference_bounds(measure: Measure) -> tuple[float, float] | None:
    """Return the possible differences of a measure; None if any number is."""
    return (-1.0, 1.0) if measure.points else None


def detectable_within(estimate: Estimate, confidence: float, bounds: tuple[float, float] | None) -> float:
    """Return the smallest detectable effect; NaN where no possible effect is as large."""
    effect = estimate.detectable(confidence)
    return effect if bounds is None or effect <= bounds[1] else math.nan


class Cell(NamedTuple):
    """An endpoint of the models of one encoding."""

    encoding: str
    endpoint: Endpoint


@dataclass(frozen=True)
class Difference:
    """Treatment minus baseline on the seeds and units that both have.

    Attributes:
        estimate: the difference.
        treatment: mean of the treatment on those seeds and units.
        baseline: mean of the baseline on them.
    """

    estimate: Estimate
    treatment: float
    baseline: float


class Observations:
    """All endpoints of an arm, by encoding and key.

    Attributes:
        endpoints: the keys, in order of first appearance.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        """Take the arm's rows of ``endpoints.parquet``; there may be none."""
        frame = frame.reindex(columns=COLUMNS) if frame.empty else frame
        keys = frame[list(KEYS)].drop_duplicates()
        self.endpoints = [Endpoint.of(row) for row in keys.to_dict("records")]
        numbered = frame.assign(number=frame.groupby(list(KEYS), dropna=False, sort=False).ngroup())
        self._matrices = {
            Cell(encoding, self.endpoints[number]): matrix
            for (encoding, number), matrix in matrices(numbered, ["encoding", "number"], "value", "unit")
        }

    def matrix(self, cell: Cell) -> pd.DataFrame:
        """Return the values, one row per seed and one column per unit; empty where there are none."""
        return self._matrices.get(cell, pd.DataFrame())

    def level(self, cell: Cell) -> Estimate | None:
        """Return the mean, or None where there are no observations."""
        matrix = self.matrix(cell)
        return None if matrix.empty else crossed_mean(matrix.to_numpy())

    def difference(self, treatment: Cell, baseline: Cell | float) -> Difference | None:
        """Return treatment minus baseline, paired by seed and unit; None without a pair, or with an infinite value."""
        above = self.matrix(treatment)
        below = self.matrix(baseline) if isinstance(baseline, Cell) else above * 0 + baseline
        above, below = paired(above, below)
        if above.empty or not (np.isfinite(above).all(axis=None) and np.isfinite(below).all(axis=None)):
            return None
        pair = np.ascontiguousarray(above), np.ascontiguousarray(below)
        return Difference(crossed_difference(*pair), float(np.mean(pair[0])), float(np.mean(pair[1])))


def by_arm(frame: pd.DataFrame, arms: Iterable[str]) -> dict[str, Observations]:
    """Return the observations of each of the arms, from the rows of ``endpoints.parquet``."""
    return {name: Observations(frame[frame["arm"] == name].reset_index(drop=True)) for name in arms}


def percent(nats: float) -> float:
    """Return a difference of losses, in nats per token, as a change of perplexity in percent.

    From 700 nats on, where exp overflows, it is infinite: two seeds far apart give such intervals.
    """
    return math.inf if nats >= 700 else 100 * math.expm1(nats)


def in_familiar_units(measure: Measure, numbers: Mapping[str, float]) -> dict[str, float]:
    """Return a difference and its limits as ``percent`` or ``points``, with ``_low`` and so on.

    Differences of losses become changes of perplexity in percent (the smallest detectable effect as a rise),
    differences of accuracy become points; names that do not apply are left out.

    Args:
        measure: the measure.
        numbers: those of :data:`SCALED` that are known, in the measure's own scale.
    """
    if measure.loss:
        return {f"percent{end}": percent(numbers[name]) for name, end in SCALED.items() if name in numbers}
    if measure.points:
        return {f"points{end}": 100 * numbers[name] for name, end in SCALED.items() if name in numbers}
    return {}
