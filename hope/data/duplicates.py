"""Near copies: documents that share lines, found without comparing every pair."""

import hashlib
import re

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, triu
from scipy.sparse.csgraph import connected_components

SHORTEST_LINE = 16
"""Characters below which a line is trivial: two documents with ``return None`` or ``Thank you.`` are no copies."""

LONGEST_LINE = 200
"""Characters above which a line is a paragraph and is cut at the ends of its sentences."""

COMMON_LINE = 20
"""Documents above which a line is common (a licence, an import) and joins only neighbours in their order."""

SENTENCE_END = re.compile(r"(?<=[.!?;]) ")


def content_lines(text: str) -> NDArray[np.uint64]:
    """Return the sorted 64-bit digests of the distinct lines of ``text`` that have content.

    White space is folded. A line of fewer than ``SHORTEST_LINE`` characters, or without a letter or digit, is
    left out. A line of more than ``LONGEST_LINE`` characters is a paragraph, and its sentences count as lines:
    otherwise one changed word would hide that the rest of a paragraph is the same.
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

    The shorter document is the measure, so that an excerpt is grouped with its source. Groups are closed over
    chains: with A near B and B near C, all three are one group.

    Two documents are compared only if they share a line that at most ``COMMON_LINE`` documents hold, or follow one
    another among the holders of a more common line. So the work grows with the number of lines, not with the square
    of the number of documents. All lines of a compared pair count, common ones too. A pair is missed only if it
    shares nothing but common lines and no chain of near copies joins it.

    Args:
        lines: sorted digests of each document's lines, from :func:`content_lines`.
        share: between 0 and 1.

    Returns:
        The group of each document [documents]; groups are numbered by their first document.
    """
    count = len(lines)
    sizes = np.array([len(of_document) for of_document in lines], dtype=np.int64)
    distinct, columns = np.unique(np.concatenate(lines), return_inverse=True)
    starts = np.r_[0, np.cumsum(sizes)]
    held = csr_array((np.ones(len(columns), dtype=np.int64), columns, starts), shape=(count, len(distinct)))
    is_common = held.sum(axis=0) > COMMON_LINE
    rare, common = held[:, ~is_common], held[:, is_common]
    shared_rare, neighbours = triu(rare @ rare.T, 1).tocoo(), _neighbours(common)
    # A neighbour that shares rare lines too occurs twice; the count of 0 then adds nothing.
    first, second = np.concatenate([shared_rare.coords, neighbours.coords], axis=1)
    shared = np.r_[shared_rare.data, np.zeros(neighbours.nnz, dtype=np.int64)]
    needed, common_lines = share * np.minimum(sizes[first], sizes[second]), common.sum(axis=1)
    # Common lines are compared only where they can reach the share: this bounds the memory.
    possible = np.flatnonzero(shared + np.minimum(common_lines[first], common_lines[second]) > needed)
    first, second = first[possible], second[possible]
    shared_common = common[first].multiply(common[second]).sum(axis=1)
    near = shared[possible] + shared_common > needed[possible]
    links = coo_array((near[near], (first[near], second[near])), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def _neighbours(common: csr_array) -> coo_array:
    """Return the pairs of documents that follow one another among the holders of a line [documents, documents].

    Args:
        common: 1 where a document holds a line [documents, lines].
    """
    by_line = common.tocsc()
    line = np.repeat(np.arange(by_line.shape[1]), np.diff(by_line.indptr))
    follows = np.flatnonzero(line[1:] == line[:-1])
    pairs = by_line.indices[follows], by_line.indices[follows + 1]
    neighbours = coo_array((np.ones(len(follows), dtype=bool), pairs), shape=(common.shape[0],) * 2)
    neighbours.sum_duplicates()
    return neighbours
