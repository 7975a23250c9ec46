"""Near copies: documents that share lines, found without comparing every pair."""

import hashlib
import re

import numpy as np
from numpy.typing import NDArray

SHORTEST_LINE = 16
"""Characters below which a line is trivial: ``return None`` or ``Thank you.`` make no copy."""

LONGEST_LINE = 200
"""Characters above which a line is a paragraph and is cut at the ends of its sentences."""

COMMON_LINE = 20
"""Documents above which a line is common (a licence, an import), and compares neighbours only."""

SENTENCE_END = re.compile(r"(?<=[.!?;]) ")


def content_lines(text: str) -> NDArray[np.uint64]:
    """Return the sorted 64-bit digests of the distinct lines of ``text`` that say something.

    White space is folded; a line of fewer than ``SHORTEST_LINE`` characters, or without a letter or
    digit, is trivial and left out. A line of more than ``LONGEST_LINE`` characters is a paragraph, and its
    sentences count as lines: in prose, one changed word would hide that the rest of it is the same.
    """
    pieces: set[str] = set()
    for line in text.splitlines():
        folded = " ".join(line.split())
        if len(folded) < SHORTEST_LINE:
            continue
        parts = SENTENCE_END.split(folded) if len(folded) > LONGEST_LINE else (folded,)
        pieces.update(part for part in parts if len(part) >= SHORTEST_LINE)
    digests = [
        hashlib.blake2b(piece.encode(), digest_size=8).digest() for piece in pieces if any(map(str.isalnum, piece))
    ]
    return np.sort(np.frombuffer(b"".join(digests), dtype="<u8"))


def group_near_duplicates(lines: list[NDArray[np.uint64]], share: float) -> NDArray[np.int64]:
    """Group documents that share more than ``share`` of the distinct lines of the shorter of the two.

    The shorter document is the measure, so that an excerpt belongs to what it was taken from. Groups are
    closed over chains: with A near B and B near C, all three are one group.

    Only pairs that share a line held by at most ``COMMON_LINE`` documents are looked at, and the
    neighbours among the holders of a more common line; so the work grows with the number of lines, not
    with the square of the number of documents. A pair is judged by all of its lines, common ones
    too. A pair missed so has nothing but common lines in common and no chain of neighbours between.

    Args:
        lines: for each document the sorted digests of its lines, by :func:`content_lines`.
        share: between 0 and 1.

    Returns:
        The group of each document [documents]; groups are numbered by their first document.
    """
    sizes = np.array([len(of_document) for of_document in lines], dtype=np.int64)
    pairs, common = _candidates(lines, sizes)
    parent = np.arange(len(lines))
    for first, second, shared in pairs:
        smaller = min(sizes[first], sizes[second])
        # The most that the pair can share: what is known, and all common lines of the poorer one.
        if shared + min(common[first], common[second]) <= share * smaller:
            continue
        roots = _root(parent, first), _root(parent, second)
        if roots[0] != roots[1] and len(np.intersect1d(lines[first], lines[second], True)) > share * smaller:
            parent[max(roots)] = min(roots)
    _, groups = np.unique([_root(parent, index) for index in range(len(lines))], return_inverse=True)
    return groups.astype(np.int64)


def _candidates(
    lines: list[NDArray[np.uint64]], sizes: NDArray[np.int64]
) -> tuple[list[tuple[int, int, int]], NDArray[np.int64]]:
    """Return pairs worth a look with the rare lines they share, and each document's common lines."""
    count = len(lines)
    common = np.zeros(count, dtype=np.int64)
    if not sizes.sum():
        return [], common
    digests, holders = np.concatenate(lines), np.repeat(np.arange(count), sizes)
    order = np.argsort(digests, kind="stable")
    holders = holders[order]
    starts = np.flatnonzero(np.r_[True, np.diff(digests[order]) > 0])
    lengths = np.diff(np.r_[starts, len(holders)])
    rare: list[NDArray[np.int64]] = []
    for length in range(2, COMMON_LINE + 1):
        rows = holders[starts[lengths == length, None] + np.arange(length)]
        left, right = np.triu_indices(length, 1)
        rare.append((rows[:, left] * count + rows[:, right]).ravel())
    codes, shared = np.unique(np.concatenate(rare), return_counts=True)
    is_common = np.repeat(lengths > COMMON_LINE, lengths)
    common += np.bincount(holders[is_common], minlength=count)
    follows = is_common[1:] & is_common[:-1] & (np.repeat(starts, lengths)[1:] == np.repeat(starts, lengths)[:-1])
    neighbours = np.setdiff1d(holders[:-1][follows] * count + holders[1:][follows], codes)
    codes = np.r_[codes, neighbours]
    shared = np.r_[shared, np.zeros(len(neighbours), dtype=shared.dtype)]
    first, second = np.divmod(codes, count)
    return list(zip(first.tolist(), second.tolist(), shared.tolist(), strict=True)), common


def _root(parent: NDArray[np.int64], index: int) -> int:
    """Return the representative of ``index``, shortening the path to it."""
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index
