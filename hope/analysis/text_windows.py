"""Windows of a text that is nobody's corpus: pieces of its documents, spread over all of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hope.seeding import generator

FEWEST = 2
"""Windows without which there is no half to choose components on, and no half to test them on."""


def text_windows(
    documents: Sequence[NDArray[np.int64]], count: int, length: int, start: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return up to ``count`` windows that do not overlap, and the document of each.

    A document is cut into as many windows as it has room for, with what is left over before the first one in a
    random part, so that a window rarely begins where a document does. One of each document is drawn in turn, in a
    random order, until there are ``count``.

    Args:
        documents: token ids of each.
        count: windows asked for.
        length: tokens that the model reads; one more is its last target.
        start: token ids that begin every window, and take the first of its places.

    Returns:
        Token ids ``[windows, length + 1]``, and the index of the document of each, rising; there may be none.
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
