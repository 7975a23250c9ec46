"""Bins of distances and positions: exact where contexts are short, wider in the middle of long ones."""

import numpy as np
from numpy.typing import NDArray


def bin_edges(count: int, fine: int) -> NDArray[np.int64]:
    """Return the edges of half-open bins that cover the integers 0 to ``count - 1``.

    Up to ``4 * fine`` integers every bin has width 1. Beyond, the first and last ``fine`` integers keep bins of
    width 1, because attention is sharp at the nearest and at the first tokens; ``2 * fine`` bins of widths as equal as
    possible cover the middle.
    """
    if count <= 4 * fine:
        return np.arange(count + 1)
    middle = np.linspace(fine, count - fine, 2 * fine + 1).round().astype(np.int64)
    return np.concatenate([np.arange(fine), middle, np.arange(count - fine + 1, count + 1)])
