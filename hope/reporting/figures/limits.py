"""Limits of an axis that show every estimate and every interval but real outliers, and marks where those are cut."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

FACTOR = 3.0
"""An interval is cut if it would make the axis more than this many times as long as the intervals narrower than it."""
_MARKS = {"x": ("<", ">"), "y": ("v", "^")}
_SIZE = 4.5
"""Size of a mark, in points."""


def limits_of(estimates: ArrayLike, low: ArrayLike, high: ArrayLike) -> tuple[float, float]:
    """Return the ends of a range that holds all estimates and all intervals, real outliers aside.

    The narrower half of the intervals (at least two) is always shown whole. Wider ones follow in the order of their
    width as long as none makes the range more than :data:`FACTOR` times as long. An infinite interval is never shown.

    Args:
        estimates: the estimates; NaN and infinite ones are ignored.
        low: lower ends of their intervals, NaN without one.
        high: upper ends.
    """
    middle, lower, upper = (np.asarray(values, dtype=np.float64).ravel() for values in (estimates, low, high))
    middle, there = middle[np.isfinite(middle)], np.isfinite(lower) & np.isfinite(upper)
    lower, upper = lower[there], upper[there]
    order = np.argsort(upper - lower, kind="stable")
    lower, upper = lower[order], upper[order]
    shown = min(len(order), max(2, len(order) // 2 + 1))
    least = min([*middle, *lower[:shown]], default=0.0)
    most = max([*middle, *upper[:shown]], default=0.0)
    for one, other in zip(lower[shown:], upper[shown:], strict=True):
        wider = min(least, one), max(most, other)
        if wider[1] - wider[0] > FACTOR * (most - least):
            break
        least, most = wider
    return float(least), float(most)


def mark_cuts(axes: Axes, along: str, places: Iterable[float], low: ArrayLike, high: ArrayLike, color: str) -> None:
    """Draw an arrow at the edge of the axes for each interval that ends past it.

    Args:
        axes: axes with their limits set.
        along: the axis that the intervals lie along, x or y.
        places: places of the intervals on the other axis.
        low: lower ends of the intervals, NaN without one.
        high: upper ends.
        color: color of the arrows.
    """
    least, most = sorted(axes.get_xlim() if along == "x" else axes.get_ylim())
    across: NDArray[np.float64] = np.asarray(list(places), dtype=np.float64)
    lower, upper = (np.asarray(values, dtype=np.float64) for values in (low, high))
    for marker, edge, cut in zip(_MARKS[along], (least, most), (lower < least, upper > most), strict=True):
        edges = np.full(int(cut.sum()), edge)
        ends = (edges, across[cut]) if along == "x" else (across[cut], edges)
        if cut.any():
            axes.plot(*ends, marker, color=color, markersize=_SIZE, clip_on=False, zorder=6)
