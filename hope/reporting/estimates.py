"""Endpoints as matrices of seeds x units, paired between encodings, and what they estimate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from hope.reporting.claims_file import Side
from hope.reporting.measures import Measure
from hope.statistics import Estimate, crossed_difference, crossed_mean

SCALED = {"estimate": "", "low": "_low", "high": "_high", "detectable": "_detectable"}
"""Numbers that are told in percent of perplexity or in points too, and what is put to those names."""


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
    """All endpoints of a study, looked up by encoding and measure."""

    def __init__(self, frame: pd.DataFrame) -> None:
        """Take the rows of ``endpoints.parquet``."""
        self.frame = frame
        self._matrices: dict[tuple[str, str], pd.DataFrame] = {}

    @cached_property
    def _groups(self) -> dict[tuple[str, str], pd.DataFrame]:
        grouped = self.frame.groupby(["encoding", "measure"], observed=True)
        return {(str(encoding), str(measure)): part for (encoding, measure), part in grouped}

    @property
    def measures(self) -> list[str]:
        """The measures in the order in which they first appear."""
        return list(self.frame["measure"].unique())

    def matrix(self, encoding: str, measure: str) -> pd.DataFrame:
        """Return the values, one row a seed and one column a unit; empty where there are none.

        A unit that some seed lacks is left out, so that every seed is judged on the same ones.
        """
        part = self._groups.get((encoding, measure))
        if part is None:
            return pd.DataFrame()
        if (encoding, measure) not in self._matrices:
            matrix = part.pivot(index="seed", columns="unit", values="value").dropna(axis="columns")
            self._matrices[encoding, measure] = matrix
        return self._matrices[encoding, measure]

    def level(self, encoding: str, measure: str) -> Estimate | None:
        """Return the mean of a measure, or None where there are no observations."""
        matrix = self.matrix(encoding, measure)
        return None if matrix.empty else crossed_mean(matrix.to_numpy())

    def difference(self, treatment: Side, baseline: Side) -> Difference | None:
        """Return treatment minus baseline, paired by seed and unit; None where no pair exists."""
        assert treatment.encoding is not None and treatment.measure is not None
        above = self.matrix(treatment.encoding, treatment.measure)
        if baseline.constant is not None:
            below = above * 0 + baseline.constant
        else:
            assert baseline.encoding is not None and baseline.measure is not None
            below = self.matrix(baseline.encoding, baseline.measure)
        seeds, units = above.index.intersection(below.index), above.columns.intersection(below.columns)
        if not len(seeds) or not len(units):
            return None
        pair = above.loc[seeds, units].to_numpy(), below.loc[seeds, units].to_numpy()
        return Difference(crossed_difference(*pair), float(np.mean(pair[0])), float(np.mean(pair[1])))


def percent(nats: float) -> float:
    """Return a difference of losses, in nats a token, as a change of perplexity in percent.

    An interval that is all but endless (one cell, two seeds far apart) is named so, not overflowed.
    """
    return math.inf if nats >= 700 else 100 * math.expm1(nats)


def in_familiar_units(measure: Measure, numbers: Mapping[str, float]) -> dict[str, float]:
    """Return a difference and its limits as people read them: ``percent``, ``points``, with ``_low`` and so on.

    Losses are told as changes of perplexity in percent (the smallest detectable effect as a rise), shares
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
