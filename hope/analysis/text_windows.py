"""Windows of a user's own text: pieces of its documents, spread over all of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hope.seeding import generator

FEWEST = 2
"""Fewest windows: one to choose components on, and one to test them on."""


def text_windows(
    documents: Sequence[NDArray[np.int64]], count: int, length: int, start: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return up to ``count`` windows that do not overlap, and the document of each.

    A document is cut into as many windows as fit. A random part of the remaining tokens is skipped before the first
    window, so that windows rarely begin where a document does. One window of each document is drawn in turn, in random
    order, until there are ``count``.

    Args:
        documents: token ids of each.
        count: number of windows wanted.
        length: tokens that the model reads; one more is its last target.
        start: token ids at the beginning of every window, counted in its length.

    Returns:
        Token ids ``[windows, length + 1]`` and the index of each window's document, rising; possibly none.
    """
    body = length + 1 - len(start)
    places = []
    for turn, number in enumerate(generator("text windows", "order").permutation(len(documents)).tolist()):
        draw = generator("text windows", number)
        whole, left = divmod(len(documents[number]), body)
        first = int(draw.integers(left + 1))
        places += [
            (index, turn, number, first + body * int(part)) for index, part in enumerate(draw.permutation(whole))
        ]
    chosen = sorted((number, place) for _, _, number, place in sorted(places)[:count])
    rows = [np.concatenate([start, documents[number][place : place + body]]) for number, place in chosen]
    windows = np.stack(rows).astype(np.int64) if rows else np.empty((0, length + 1), dtype=np.int64)
    return windows, np.array([number for number, _ in chosen], dtype=np.int64)
