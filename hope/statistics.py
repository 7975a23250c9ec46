"""Estimates over crossed seeds and units, and what may be concluded from them.

Every model of a study is measured on the same units (documents or prompts), so a difference between two
encodings is a matrix, seeds x units: paired on both, and random in both. Its mean is judged by the
crossed random-effects variance, because a model of one seed measured on many documents is still one
model. Tests that ignore this call noise between seeds an effect.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and units, and how sure it is.

    Attributes:
        mean: the mean of all cells.
        variance: variance of that mean; NaN where one cell is all there is.
        df: degrees of freedom of the variance; NaN where one cell is all there is.
        seeds: number of seeds S.
        units: number of documents or prompts D.
    """

    mean: float
    variance: float
    df: float
    seeds: int
    units: int

    @property
    def decides(self) -> bool:
        """Whether it can say anything about encodings.

        With a single seed the variance is that between units alone: the interval describes these
        models on other documents, not other models of the same encodings.
        """
        return self.seeds > 1

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return math.sqrt(self.variance)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the two-sided t interval at ``confidence``; NaN twice where there is no variance to use."""
        half = float(stats.t.ppf(0.5 + confidence / 2, self.df)) * self.error
        return self.mean - half, self.mean + half

    def p_value(self, null: float = 0.0, alternative: Alternative = "two-sided") -> float:
        """Return the p value of the t test that the true mean is ``null``.

        Args:
            null: the mean under the null hypothesis.
            alternative: 'greater' if only means above ``null`` count against it, 'less' if only those below.
        """
        gap = self.mean - null
        # Equal in all cells: no noise is left to explain a gap, and none is needed to explain its absence.
        statistic = gap / self.error if self.error != 0 else math.copysign(math.inf, gap) if gap else 0.0
        above = float(stats.t.sf(statistic, self.df))
        below = float(stats.t.cdf(statistic, self.df))
        return {"greater": above, "less": below, "two-sided": min(1.0, 2 * min(above, below))}[alternative]

    def detectable(self, confidence: float = 0.95, power: float = 0.8) -> float:
        """Return the smallest effect that a study with this noise finds with probability ``power``.

        Found means that the interval at ``confidence`` excludes 0; the noncentral t is approximated by a
        shifted one: (t(1 - alpha/2) + t(power)) standard errors.
        """
        quantiles = stats.t.ppf([0.5 + confidence / 2, power], self.df)
        return float(quantiles.sum()) * self.error


def crossed_mean(values: ArrayLike) -> Estimate:
    """Return the mean of a matrix ``[seeds, units]`` with its crossed random-effects variance.

    Args:
        values: one number a seed and unit, every cell filled.

    Raises:
        ValueError: the matrix is empty, not two-dimensional, or holds a value that is not finite.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"expected a filled matrix of seeds x units, not shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("a value is not finite: drop the units that lack one first")
    mean, variance, df = crossed_moments(matrix)
    return Estimate(float(mean), float(variance), float(df), *matrix.shape)


def crossed_difference(treatment: ArrayLike, baseline: ArrayLike) -> Estimate:
    """Return the mean of ``treatment - baseline``, two matrices ``[seeds, units]`` paired on both.

    Raises:
        ValueError: the shapes differ, or as :func:`crossed_mean`.
    """
    above, below = np.asarray(treatment, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if above.shape != below.shape:
        raise ValueError(f"shapes {above.shape} and {below.shape} differ: pair seeds and units first")
    return crossed_mean(above - below)


def crossed_moments(values: Array) -> tuple[Array, Array, Array]:
    """Return mean, variance of the mean, and degrees of freedom, of matrices ``[..., seeds, units]``.

    With x_sd = mu + a_s + b_d + e_sd, all three random, the mean over S seeds and D units has variance
    var(a)/S + var(b)/D + var(e)/(S D), whose unbiased estimate from the mean squares of the two-way table
    is (MS_seed + MS_unit - MS_residual) / (S D). It is floored at max(MS_seed, MS_unit) / (S D), because
    the estimate may come out too small, even negative. Degrees of freedom are Satterthwaite's (1946, Biometrics
    Bulletin 2: 110-114), at least the smaller of S - 1 and D - 1. With one seed or one unit the other
    factor's variance alone is left; with both, none.

    In simulation, at 3, 5 and 8 seeds, the 95% interval covered the truth in 94 to 96% of cases where seeds
    or units rule the noise or both share it; over every mixture tried 92 to 99%, least with 3 seeds, most
    where the residual rules.

    Returns:
        Three arrays ``[...]``.
    """
    seeds, units = values.shape[-2:]
    of_seed, of_unit = values.mean(axis=-1), values.mean(axis=-2)
    mean = of_seed.mean(axis=-1)
    if seeds == 1 or units == 1:
        count = seeds * units
        if count == 1:
            return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
        variance = values.var(axis=(-2, -1), ddof=1) / count
        return mean, variance, np.full_like(mean, count - 1)
    residual = values - of_seed[..., :, None] - of_unit[..., None, :] + mean[..., None, None]
    square_seed = units * of_seed.var(axis=-1, ddof=1)
    square_unit = seeds * of_unit.var(axis=-1, ddof=1)
    square_residual = (residual**2).sum(axis=(-2, -1)) / ((seeds - 1) * (units - 1))
    square = np.maximum(square_seed + square_unit - square_residual, np.maximum(square_seed, square_unit))
    spread = square_seed**2 / (seeds - 1) + square_unit**2 / (units - 1)
    spread = spread + square_residual**2 / ((seeds - 1) * (units - 1))
    fewest = min(seeds, units) - 1
    df = np.divide(square**2, spread, out=np.full_like(square, fewest), where=spread > 0)
    return mean, square / (seeds * units), np.maximum(df, fewest)


def non_inferiority(estimate: Estimate, margin: float) -> float:
    """Return the one-sided p value that the true mean is not below ``-margin``; larger means are better."""
    return estimate.p_value(-margin, "greater")


def equivalence(estimate: Estimate, margin: float) -> float:
    """Return the p value of two one-sided tests that the true mean lies within ``margin`` of 0.

    Below alpha exactly when the interval at confidence 1 - 2 alpha lies within (Schuirmann 1987, Journal
    of Pharmacokinetics and Biopharmaceutics 15: 657-680).
    """
    return max(estimate.p_value(-margin, "greater"), estimate.p_value(margin, "less"))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's step-down method (1979), in the given order.

    All hypotheses with a corrected value below alpha can be rejected with a probability of at most alpha
    that any of them is true, whatever the dependence between the tests.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
