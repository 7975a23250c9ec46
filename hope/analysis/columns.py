"""Columns of tidy tables, from arrays with one axis per key."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
Axes = Mapping[str, Sequence[Any] | NDArray[Any]]


def long_columns(axes: Axes, values: Mapping[str, NDArray[Any]]) -> Columns:
    """Return the columns of a table with one row per cell of a grid.

    Args:
        axes: labels along each axis of the grid, by column name, outermost first.
        values: arrays that broadcast to the shape of the grid, by column name.
    """
    labels = [np.asarray(label) for label in axes.values()]
    shape = tuple(len(label) for label in labels)
    columns = {
        name: np.broadcast_to(np.expand_dims(label, tuple(range(1, len(shape) - axis))), shape).ravel()
        for axis, (name, label) in enumerate(zip(axes, labels, strict=True))
    }
    return columns | {name: np.broadcast_to(value, shape).ravel() for name, value in values.items()}


def stacked(parts: Sequence[Columns]) -> Columns:
    """Return the rows of ``parts``, one after another; all have the same columns."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
