"""Estimates over crossed seeds and units, their intervals and tests.

Every model of a study is measured on the same units (documents or prompts), so a difference between two encodings is
a matrix, seeds x units: paired in both, and random in both. The variance of its mean is that of crossed random
effects, because one seed measured on many documents is still one model; tests that ignore this take noise between
seeds for an effect. docs/statistics.md gives the coverage of the intervals in simulation, and the reasons against
simpler ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]
SMALLEST_TAIL = 1e-100
"""A p value below twice this is given as 0."""
ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""A spread up to this share of the largest number counts as none: rounding makes as much of equal values."""


@dataclass(frozen=True)
class Noise:
    """The variance of a mean over crossed seeds and units, by source; arrays ``[...]``.

    With x_sd = mu + a_s + b_d + e_sd, all three random, the mean over S seeds and D units has variance
    var(a)/S + var(b)/D + var(e)/(S D), whose unbiased estimate from the mean squares of the two-way table
    is (MS_seed + MS_unit - MS_residual) / (S D).

    Attributes:
        of_seeds: MS_seed / (S D); 0 for a single seed.
        of_units: MS_unit / (S D); 0 for a single unit.
        of_rest: MS_residual / (S D), which both of them contain.
        seeds: number of seeds S.
        units: number of units D.
    """

    of_seeds: Array
    of_units: Array
    of_rest: Array
    seeds: int
    units: int

    @property
    def variance(self) -> Array:
        """Variance of the mean, at least that of either factor alone, because the unbiased one can be negative."""
        both = self.of_seeds + self.of_units - self.of_rest
        return np.maximum(both, np.maximum(self.of_seeds, self.of_units))

    def of(self, seeds: int, units: int) -> "Noise":
        """Return the noise of a study of other numbers of seeds and units, with the same variance components."""
        cells, rest = self.seeds * self.units, self.of_rest * self.seeds * self.units
        # A mean square is MS_residual plus the factor's own part, which cannot be negative.
        per_seed = np.maximum(self.of_seeds * cells - rest, 0.0) / self.units
        per_unit = np.maximum(self.of_units * cells - rest, 0.0) / self.seeds
        of_seeds, of_units, of_rest = (
            square / (seeds * units) for square in (rest + units * per_seed, rest + seeds * per_unit, rest)
        )
        return Noise(of_seeds, of_units, of_rest, seeds, units)

    def half_width(self, tail: ArrayLike) -> Array:
        """Return half the width of the interval that leaves out ``tail`` on either side.

        Each part has the t quantile of its own degrees of freedom (S - 1, D - 1 and their product), and the squares of
        the half widths add up like the variances: Howe (1974, JASA 69: 789-794) for two means, here with the residual
        that both contain subtracted once. So few seeds never use the documents' degrees of freedom. Satterthwaite's
        approximation does use them where the seeds happen to lie close together: at 3 seeds its 95% interval covers 92
        to 95%, and its 99.6% one, which Holm's correction over 12 endpoints needs, 98%.
        """
        of_seeds, of_units, of_rest = (
            special.stdtrit(max(1, df), tail) ** 2 * part
            for df, part in (
                (self.seeds - 1, self.of_seeds),
                (self.units - 1, self.of_units),
                ((self.seeds - 1) * (self.units - 1), self.of_rest),
            )
        )
        return np.sqrt(np.maximum(of_seeds + of_units - of_rest, np.maximum(of_seeds, of_units)))

    def tail(self, gap: ArrayLike) -> Array:
        """Return the tail at which the interval just reaches ``gap``, 0 or more: half a p value."""
        gap = np.asarray(gap, dtype=np.float64)
        low, high = np.full(gap.shape, math.log(SMALLEST_TAIL)), np.full(gap.shape, math.log(0.5))
        for _ in range(50):  # bisection of 230 units of the logarithm, exact to 2e-13 of the tail
            middle = (low + high) / 2
            reaches = self.half_width(np.exp(middle)) > gap
            low, high = np.where(reaches, middle, low), np.where(reaches, high, middle)
        tail = np.where(self.half_width(SMALLEST_TAIL) <= gap, 0.0, np.exp((low + high) / 2))
        # Where all cells are equal, a gap of 0 has p value 1 and any other 0.
        return np.where(gap == 0, 0.5, np.where(np.isnan(self.variance), np.nan, tail))


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and units, with its variance.

    Attributes:
        mean: the mean of all cells.
        noise: its variance, by part; NaN for a single cell.
    """

    mean: float
    noise: Noise

    @property
    def seeds(self) -> int:
        """Number of seeds S."""
        return self.noise.seeds

    @property
    def units(self) -> int:
        """Number of documents or prompts D."""
        return self.noise.units

    @property
    def decides(self) -> bool:
        """Whether it can support a conclusion about encodings, which takes more than one seed.

        With a single seed the variance is that between units alone: the interval describes the same models on other
        documents, not other models of the same encodings.
        """
        return self.seeds > 1

    @property
    def noise_known(self) -> bool:
        """Whether it has an interval: several seeds, and cells that differ.

        Models that answer every prompt alike, for example at their ceiling, may differ on other prompts.
        """
        return self.decides and self.variance > 0

    @property
    def variance(self) -> float:
        """Variance of the mean; NaN for a single cell."""
        return float(self.noise.variance)

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return math.sqrt(self.variance)

    def df(self, confidence: float = 0.95) -> float:
        """Return the degrees of freedom at which the t interval of this standard error is that at ``confidence``.

        They are S - 1 where all noise is between seeds, D - 1 where it is between units, and in between otherwise.
        """
        if self.variance == 0:
            return float(max(1, min(self.seeds, self.units) - 1))
        tail = (1 - confidence) / 2
        return float(special.stdtridf(1 - tail, self.noise.half_width(tail) / self.error))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the two-sided interval at ``confidence``; NaN twice for a single cell."""
        half = float(self.noise.half_width((1 - confidence) / 2))
        return self.mean - half, self.mean + half

    def p_value(self, null: float = 0.0, alternative: Alternative = "two-sided") -> float:
        """Return the p value of the test that the true mean is ``null``, at which the interval just reaches it.

        Args:
            null: the mean under the null hypothesis.
            alternative: 'greater' if only means above ``null`` are evidence against it, 'less' if only those below.
        """
        gap = self.mean - null
        tail = float(self.noise.tail(abs(gap)))
        above, below = (tail, 1 - tail) if gap >= 0 else (1 - tail, tail)
        return {"greater": above, "less": below, "two-sided": 2 * tail}[alternative]

    def detectable(self, confidence: float = 0.95, power: float = 0.8) -> float:
        """Return the minimum detectable effect of this study.

        It is the true mean at which the interval at ``confidence`` excludes 0 with probability ``power``, if the noise
        is as estimated: the standard error times the noncentrality at which a noncentral t of :meth:`df` degrees of
        freedom exceeds the t quantile of the interval with that probability (the other side is negligible). It has no
        correction for many tests, and is as uncertain as the estimated noise. NaN for a single cell.
        """
        df = self.df(confidence)
        critical = special.stdtrit(df, 0.5 + confidence / 2)
        return float(special.nctdtrinc(df, 1 - power, critical)) * self.error


def crossed_mean(values: ArrayLike, largest: float = 0.0) -> Estimate:
    """Return the mean of a matrix ``[seeds, units]`` with its crossed random-effects variance.

    Args:
        values: one number per seed and unit, every cell filled.
        largest: the largest absolute number that they were computed from, if it is larger than theirs.

    Raises:
        ValueError: the matrix is empty, not two-dimensional, or holds a value that is not finite.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"expected a filled matrix of seeds x units, not shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("a value is not finite: drop the units that lack one first")
    mean, noise = crossed_moments(matrix, largest)
    return Estimate(float(mean), noise)


def crossed_difference(treatment: ArrayLike, baseline: ArrayLike) -> Estimate:
    """Return the mean of ``treatment - baseline``, two matrices ``[seeds, units]`` paired on both.

    Raises:
        ValueError: the shapes differ, or as :func:`crossed_mean`.
    """
    above, below = np.asarray(treatment, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if above.shape != below.shape:
        raise ValueError(f"shapes {above.shape} and {below.shape} differ: pair seeds and units first")
    largest = max(float(np.abs(side).max(initial=0.0)) for side in (above, below))
    return crossed_mean(above - below, largest)


def crossed_moments(values: Array, largest: float = 0.0) -> tuple[Array, Noise]:
    """Return the means ``[...]`` of matrices ``[..., seeds, units]``, and their noise.

    With one seed or one unit it is the variance of the other factor alone; with one of each, NaN. A mean square that
    rounding could have made (:data:`ROUNDING`) is 0, so that equal cells have no variance at any shape; ``largest`` is
    that of :func:`crossed_mean`.
    """
    seeds, units = values.shape[-2:]
    cells = seeds * units
    of_seed, of_unit = values.mean(axis=-1), values.mean(axis=-2)
    mean = of_seed.mean(axis=-1)
    if cells == 1:
        unknown = np.full_like(mean, np.nan)
        return mean, Noise(unknown, unknown, unknown, seeds, units)
    square_seed, square_unit, square_rest = (np.zeros_like(mean) for _ in range(3))
    least = (ROUNDING * np.maximum(np.abs(values).max(axis=(-2, -1)), largest)) ** 2
    if seeds > 1:
        square_seed = units * _beyond(of_seed.var(axis=-1, ddof=1), least)
    if units > 1:
        square_unit = seeds * _beyond(of_unit.var(axis=-1, ddof=1), least)
    if seeds > 1 and units > 1:
        residual = values - of_seed[..., :, None] - of_unit[..., None, :] + mean[..., None, None]
        square_rest = _beyond((residual**2).sum(axis=(-2, -1)) / ((seeds - 1) * (units - 1)), least)
    return mean, Noise(square_seed / cells, square_unit / cells, square_rest / cells, seeds, units)


def _beyond(variance: Array, least: Array) -> Array:
    """Return the variance, or 0 where it is at most ``least``."""
    return np.where(variance > least, variance, 0.0)


def equivalence(estimate: Estimate, margin: float) -> float:
    """Return the p value of two one-sided tests that the true mean lies within ``margin`` of 0.

    Below alpha exactly when the interval at confidence 1 - 2 alpha lies within (Schuirmann 1987, Journal
    of Pharmacokinetics and Biopharmaceutics 15: 657-680).
    """
    return max(estimate.p_value(-margin, "greater"), estimate.p_value(margin, "less"))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's step-down method (1979), in the given order.

    If all hypotheses with a corrected value below alpha are rejected, the probability that any of them is true is at
    most alpha, for any dependence between the tests.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
