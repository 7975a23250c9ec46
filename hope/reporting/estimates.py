"""Observations as matrices of seeds x units, paired between encodings, and what they estimate.

All that stands with an interval in a table, a figure, a verdict or a sentence is paired here.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from hope.measures import KEYS, Endpoint, Measure
from hope.statistics import Estimate, crossed_difference, crossed_mean

SCALED = {"estimate": "", "low": "_low", "high": "_high", "detectable": "_detectable"}
"""Numbers that are shown in percent of perplexity or in points too, and what is put to those names."""


def matrices(frame: pd.DataFrame, by: Sequence[str], value: str, unit: str) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Yield each cell of ``by`` with its means, one row a seed and one column a unit.

    A unit that some seed lacks is left out, so that every seed is judged on the same ones.
    """
    if frame.empty:
        return
    means = frame.groupby([*by, "seed", unit], observed=True)[value].mean()
    table, levels = means.unstack(unit), list[Any](by)
    for cell, part in table.groupby(level=levels, sort=True):
        yield (cell if isinstance(cell, tuple) else (cell,)), part.droplevel(levels).dropna(axis="columns")


def paired(above: pd.DataFrame, below: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two matrices on the seeds and units that both have."""
    seeds, units = above.index.intersection(below.index), above.columns.intersection(below.columns)
    return above.loc[seeds, units], below.loc[seeds, units]


def summarize(
    frame: pd.DataFrame, by: Sequence[str], value: str, unit: str, confidence: float, minus: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Return the mean of ``value`` in each cell of ``by``, with its interval over crossed seeds and units.

    Args:
        frame: one row an observation, with columns ``seed``, ``unit``, ``value`` and those of ``by``.
        by: columns that name a cell; observations of one seed and unit within a cell are averaged.
        value: the column averaged.
        unit: the column that names documents or prompts.
        confidence: of the interval.
        minus: if given, observations with the same columns that are subtracted, paired by seed and unit.

    Returns:
        One row a cell: the columns of ``by``, estimate, low, high (NaN where no interval can be given),
        seeds, units.
    """
    subtract = None if minus is None else dict(matrices(minus, by, value, unit))
    rows = []
    for cell, matrix in matrices(frame, by, value, unit):
        if subtract is not None:
            if cell not in subtract:
                continue
            above, below = paired(matrix, subtract[cell])
            matrix = above - below
        if not matrix.empty:
            columns = interval_columns(crossed_mean(matrix.to_numpy()), confidence)
            rows.append({**dict(zip(by, cell, strict=True)), **columns})
    return pd.DataFrame(rows, columns=[*by, "estimate", "low", "high", "seeds", "units"])


def interval_columns(estimate: Estimate, confidence: float, share: bool = False) -> dict:
    """Return the columns of an estimate; no interval where a single seed is all there is.

    The spread between documents of one seed says nothing of another seed: better no interval than that.

    Args:
        estimate: what is shown.
        confidence: of the interval.
        share: whether it is a share of tokens or prompts: its interval is cut to 0 and 1, and left out
            where all observations are equal, for a model at its ceiling need not be perfect.
    """
    low, high = estimate.interval(confidence)
    if share:
        low, high = max(0.0, low), min(1.0, high)
    known = estimate.decides and not (share and estimate.variance == 0)
    return {
        "estimate": estimate.mean,
        "low": low if known else math.nan,
        "high": high if known else math.nan,
        "df": estimate.df(confidence) if known else math.nan,
        "seeds": estimate.seeds,
        "units": estimate.units,
    }


class Cell(NamedTuple):
    """What was observed: an endpoint of the models of one encoding."""

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
    """All endpoints of an arm, looked up by encoding and key.

    Attributes:
        endpoints: the keys in the order in which they first appear.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        """Take the arm's rows of ``endpoints.parquet``."""
        keys = frame[list(KEYS)].drop_duplicates()
        self.endpoints = [Endpoint.of(row) for row in keys.to_dict("records")]
        numbered = frame.assign(number=frame.groupby(list(KEYS), dropna=False, sort=False).ngroup())
        self._matrices = {
            Cell(encoding, self.endpoints[number]): matrix
            for (encoding, number), matrix in matrices(numbered, ["encoding", "number"], "value", "unit")
        }

    def matrix(self, cell: Cell) -> pd.DataFrame:
        """Return the values, one row a seed and one column a unit; empty where there are none."""
        return self._matrices.get(cell, pd.DataFrame())

    def level(self, cell: Cell) -> Estimate | None:
        """Return the mean, or None where there are no observations."""
        matrix = self.matrix(cell)
        return None if matrix.empty else crossed_mean(matrix.to_numpy())

    def difference(self, treatment: Cell, baseline: Cell | float) -> Difference | None:
        """Return treatment minus baseline, paired by seed and unit; None where no pair exists."""
        above = self.matrix(treatment)
        below = self.matrix(baseline) if isinstance(baseline, Cell) else above * 0 + baseline
        above, below = paired(above, below)
        if above.empty:
            return None
        pair = np.ascontiguousarray(above), np.ascontiguousarray(below)
        return Difference(crossed_difference(*pair), float(np.mean(pair[0])), float(np.mean(pair[1])))


def by_arm(frame: pd.DataFrame, arms: Iterable[str]) -> dict[str, Observations]:
    """Return the observations of each of the arms, from the rows of ``endpoints.parquet``."""
    return {name: Observations(frame[frame["arm"] == name].reset_index(drop=True)) for name in arms}


def percent(nats: float) -> float:
    """Return a difference of losses, in nats a token, as a change of perplexity in percent.

    An interval that is all but endless (one cell, two seeds far apart) is named so, not overflowed.
    """
    return math.inf if nats >= 700 else 100 * math.expm1(nats)


def in_familiar_units(measure: Measure, numbers: Mapping[str, float]) -> dict[str, float]:
    """Return a difference and its limits as people read them: ``percent``, ``points``, with ``_low`` and so on.

    Losses are shown as changes of perplexity in percent (the smallest detectable effect as a rise), shares
    of right answers in accuracy points; the names that do not apply are left out.

    Args:
        measure: what was measured.
        numbers: those of :data:`SCALED` that are known, in the measure's own scale.
    """
    if measure.loss:
        return {f"percent{end}": percent(numbers[name]) for name, end in SCALED.items() if name in numbers}
    if measure.points:
        return {f"points{end}": 100 * numbers[name] for name, end in SCALED.items() if name in numbers}
    return {}
