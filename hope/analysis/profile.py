"""Mean attention mass over distance and over key position."""

import numpy as np
from numpy.typing import NDArray

from hope.analysis.bins import bin_edges
from hope.analysis.columns import Axes, Columns, long_columns, stacked
from hope.analysis.stream import Observed, Scope

FINE_BINS = 128
"""Bins of width 1 at either end of a long context; contexts of up to 512 keys have only such bins."""


class Profile:
    """The attention mass of the mean query, by exact distance and by key position.

    The farthest distances exist for some of the neighbouring queries only and get no mass from the others, so that
    the mass of a query sums to 1 on either axis.
    """

    def __init__(self, scope: Scope) -> None:
        """Start with no attention seen."""
        self.scope = scope
        self.masses = {
            end: {axis: np.zeros((scope.layers, scope.heads, end)) for axis in ("distance", "key")}
            for end in scope.ends
        }

    def add(self, seen: Observed) -> None:
        """Add the weights of a batch."""
        weights = seen.weights.sum(dim=0).double().cpu().numpy()
        sums = self.masses[seen.end]
        sums["key"][seen.layer] += weights.sum(axis=1)
        for query in range(self.scope.queries):
            keys = seen.end - self.scope.queries + query + 1
            sums["distance"][seen.layer, :, :keys] += weights[:, query, keys - 1 :: -1]

    def sums(self) -> dict[str, NDArray]:
        """Return the arrays that :meth:`add` changes."""
        return {f"{axis} {end}": mass for end, axes in self.masses.items() for axis, mass in axes.items()}

    def mass(self, end: int, axis: str) -> NDArray[np.float64]:
        """Return the mean mass of a query at each distance or key, ``[layers, heads, end]``."""
        return self.masses[end][axis] / (self.scope.queries * self.scope.documents)

    def columns(self, subject: str) -> Columns:
        """Return the rows of ``profile.parquet``: the mass in bins."""
        parts = []
        for end, sums in self.masses.items():
            for axis in sums:
                edges = bin_edges(end, FINE_BINS)
                mass = np.add.reduceat(self.mass(end, axis), edges[:-1], axis=2)
                axes: Axes = {
                    "subject": [subject],
                    "layer": range(self.scope.layers),
                    "head": range(self.scope.heads),
                    "query": [end - 1],
                    "axis": [axis],
                    "start": edges[:-1],
                }
                parts.append(long_columns(axes, {"end": edges[1:], "mass": mass[None, :, :, None, None]}))
        return stacked(parts)
