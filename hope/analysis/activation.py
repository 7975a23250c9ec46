"""Which frequency components are activated, and how much that depends on the threshold."""

import numpy as np
from numpy.typing import NDArray

from hope.analysis.columns import Axes, Columns, long_columns, stacked
from hope.analysis.components import Components, turns

SHARES = (0.0625, 0.125, 0.25, 0.375, 0.5)
"""Thresholds tried beside the study's own, as shares of the turning components."""
LOGITS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Thresholds tried, as spreads: a spread of x makes attention differ by a factor exp(x) over distance."""
ALL_LAYERS = -1


def activated_components(
    spread: NDArray[np.float64], frequencies: NDArray[np.float64], share: float
) -> tuple[list[int], list[int]]:
    """Return the activated components and the other turning ones, both in rising order.

    *Activated* are the turning components that bend the logits over distance the most: ``share`` of their number
    (rounded, at least one) with the largest spread. They are at most half, so that as many others exist to compare
    with; of a single turning component none is activated.
    """
    turning = [int(component) for component in np.flatnonzero(frequencies)]
    count = min(max(1, round(share * len(turning))), len(turning) // 2)
    by_spread = sorted(turning, key=lambda component: -spread[component])
    return sorted(by_spread[:count]), sorted(by_spread[count:])


def activation_columns(components: Components, share: float) -> Columns:
    """Return the rows of ``activation.parquet``: the components activated by other thresholds, per layer.

    There are two rules. ``share`` is the definition, :func:`activated_components`, at several shares; at the study's
    own share and over all layers it gives the marks of ``components.parquet``. ``logits`` is an absolute size: a
    turning component is activated if its spread is at least that many logits.

    Args:
        components: the measured components.
        share: the study's own threshold.
    """
    frequencies, by_layer = components.frequencies, components.head_spreads().mean(axis=1)
    spreads = np.vstack([by_layer.mean(axis=0), by_layer])
    numbers = np.arange(len(frequencies))
    parts = []
    for rule, thresholds in (("share", sorted({*SHARES, share})), ("logits", list(LOGITS))):
        activated = np.zeros((len(thresholds), len(spreads), len(frequencies)), dtype=bool)
        for place, threshold in enumerate(thresholds):
            for layer, spread in enumerate(spreads):
                if rule == "share":
                    activated[place, layer, activated_components(spread, frequencies, threshold)[0]] = True
                else:
                    activated[place, layer] = (spread >= threshold) & (frequencies != 0)
        axes: Axes = {
            "rule": [rule],
            "threshold": np.array(thresholds, dtype=np.float64),
            "layer": [ALL_LAYERS, *components.layers],
            "component": numbers,
        }
        values = {
            "turns": turns(frequencies, components.length),
            "spread": spreads,
            "activated": activated,
        }
        parts.append(long_columns(axes, values))
    return stacked(parts)
