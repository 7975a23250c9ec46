"""Endpoints as matrices of seeds x units, paired between encodings, and what they estimate."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from pydantic import model_validator

from hope.config import Section
from hope.reporting.measures import measure_named, nearest_measure
from hope.statistics import Estimate, crossed_difference, crossed_mean


class Side(Section):
    """One side of a comparison: a measure of an encoding, or a constant."""

    encoding: str | None = None
    measure: str | None = None
    constant: float | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Side":
        named = self.encoding is not None and self.measure is not None
        if (self.constant is None) != named or (self.encoding is None) != (self.measure is None):
            raise ValueError("give an encoding and a measure, or a constant alone")
        if self.measure is not None and measure_named(self.measure) is None:
            raise ValueError(f"'{self.measure}' is no measure{nearest_measure(self.measure)}")
        return self


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
        return part.pivot(index="seed", columns="unit", values="value").dropna(axis="columns")

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
