"""Near copies: documents that share passages, found without comparing every pair.

DuckDB does the joins, within a bounded memory: what does not fit goes to the disk.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

COMMON = 20
"""Documents above which a passage is common (a licence, an import) and joins only neighbours in their order."""

PASSAGES = pa.schema([("row", pa.int64()), ("hash", pa.uint64())])
"""Columns of a file of passages: the number of a document within the file, and the hash of one of its passages."""


class Passages(NamedTuple):
    """The passages of one kind of all documents of a corpus.

    Attributes:
        files: with the columns of :data:`PASSAGES`.
        documents: by file, the number of the document of each row; below 0 for one that is left out.
        sizes: estimated number of distinct passages of each document [documents].
        rates: share of the passages that the files hold of each document [documents]. Where two documents have
            different rates, the passages of the lower one are among those of the higher one.
        by_chance: share of their passages that unrelated documents may have in common.
        finer: returns a larger sample of the passages of the documents whose numbers it is given, for pairs that this
            sample leaves undecided; None if the files hold all passages.
    """

    files: Sequence[Path]
    documents: Sequence[NDArray[np.int64]]
    sizes: NDArray[np.float64]
    rates: NDArray[np.float64]
    by_chance: float = 0.0
    finer: "Callable[[NDArray[np.int64]], Passages] | None" = None


def group_near_copies(kinds: Sequence[Passages], share: float, memory_mb: int, spill: Path) -> NDArray[np.int64]:
    """Group documents that have more than ``share`` of the shorter of the two in common, by any kind of passage.

    What unrelated documents have in common by chance counts for nothing. Since the shorter document is the measure, an
    excerpt is grouped with its source. Groups are closed over chains: with A near B and B near C, all three are one
    group.

    Two documents are compared only if they share a passage that at most :data:`COMMON` documents hold, or follow one
    another among the holders of a more common passage. So the work grows with the number of passages, not with the
    square of the number of documents. All passages of a compared pair count, common ones too.

    Args:
        kinds: passages of the same documents.
        share: between 0 and 1; with 1, each document is a group.
        memory_mb: what DuckDB may hold.
        spill: folder for what does not fit.

    Returns:
        The group of each document [documents]; groups are numbered by their first document.
    """
    count = len(kinds[0].sizes)
    if share >= 1.0:
        return np.arange(count)
    found = []
    for kind in kinds:
        wanted = kind.by_chance + (1 - kind.by_chance) * share
        near, unsure = _near_pairs(kind, wanted, memory_mb, spill)
        found.append(near)
        if unsure.size and kind.finer:
            found.append(_confirmed(unsure, kind.finer(np.unique(unsure)), wanted, memory_mb, spill))
    first, second = np.concatenate(found, axis=1)
    links = coo_array((np.ones(len(first), dtype=bool), (first, second)), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)


def shared_with_training(
    passages: Passages, held_out: NDArray[np.bool_], memory_mb: int, spill: Path
) -> NDArray[np.float64]:
    """Return the share of the passages of each held-out document that a training document has too [held out].

    Args:
        passages: of all documents.
        held_out: True for held-out documents [documents].
        memory_mb: what DuckDB may hold.
        spill: folder for what does not fit.
    """
    with _opened(passages, memory_mb, spill, held_out=held_out) as connection:
        found = connection.execute("""
            WITH asked AS (SELECT hash, document FROM passages JOIN documents USING (document) WHERE held_out),
            seen AS (
                SELECT DISTINCT hash FROM passages JOIN documents USING (document)
                WHERE NOT held_out AND hash IN (SELECT hash FROM asked))
            SELECT document, count(seen.hash) / count(*) AS share FROM asked LEFT JOIN seen USING (hash) GROUP BY ALL
            """).fetchnumpy()  # fmt: skip
    shares = np.zeros(len(held_out))
    shares[np.asarray(found["document"], dtype=np.int64)] = found["share"]
    return shares[held_out]


def _near_pairs(
    passages: Passages, wanted: float, memory_mb: int, spill: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of documents that share more than ``wanted``, and those that the sample leaves undecided.

    Returns:
        Two arrays [2, pairs].
    """
    with _opened(passages, memory_mb, spill, size=passages.sizes, rate=passages.rates) as connection:
        connection.execute("""
            CREATE TEMP TABLE held AS
            SELECT hash, document, row_number() OVER holders AS place, count(*) OVER (PARTITION BY hash) > $1 AS common
            FROM passages
            WHERE hash IN (SELECT hash FROM passages GROUP BY hash HAVING count(*) > 1)
            WINDOW holders AS (PARTITION BY hash ORDER BY document)
            """, [COMMON])  # fmt: skip
        connection.execute("""
            CREATE TEMP TABLE pairs AS
            SELECT first, second, count(*) FILTER (NOT common) AS rare
            FROM (
                SELECT a.document AS first, b.document AS second, a.common
                FROM held a JOIN held b ON a.hash = b.hash AND a.document < b.document
                WHERE NOT a.common AND NOT b.common
                UNION ALL
                SELECT a.document, b.document, a.common
                FROM held a JOIN held b ON a.hash = b.hash AND a.place + 1 = b.place
                WHERE a.common AND b.common)
            GROUP BY ALL
            """)  # fmt: skip
        # The error is three standard deviations of the number of shared passages in a sample. Common passages are
        # compared only where they can reach the share.
        found = connection.execute("""
            WITH commons AS (SELECT document, count(*) AS common FROM held WHERE common GROUP BY ALL),
            needs AS (
                SELECT first, second, rare, least(coalesce(c.common, 0), coalesce(d.common, 0)) AS most,
                       $1 * least(a.size, b.size) * least(a.rate, b.rate) AS needed,
                       CASE WHEN least(a.rate, b.rate) < 1 THEN 3 * sqrt(needed * (1 - $1)) ELSE 0 END AS error
                FROM pairs
                JOIN documents a ON a.document = first JOIN documents b ON b.document = second
                LEFT JOIN commons c ON c.document = first LEFT JOIN commons d ON d.document = second
                WHERE rare + most > needed - error),
            shared AS (
                SELECT first, second, count(*) AS common
                FROM needs
                JOIN held a ON a.document = first JOIN held b ON b.document = second AND b.hash = a.hash
                WHERE rare <= needed + error AND a.common
                GROUP BY ALL)
            SELECT first, second, rare + coalesce(common, 0) > needed + error AS sure
            FROM needs LEFT JOIN shared USING (first, second)
            WHERE rare + coalesce(common, 0) > needed - error
            """, [wanted]).fetchnumpy()  # fmt: skip
    pairs, sure = np.array([found["first"], found["second"]], dtype=np.int64), np.asarray(found["sure"], dtype=bool)
    return pairs[:, sure], pairs[:, ~sure]


def _confirmed(
    pairs: NDArray[np.int64], passages: Passages, wanted: float, memory_mb: int, spill: Path
) -> NDArray[np.int64]:
    """Return those of the pairs that share more than ``wanted`` of these passages [2, pairs]."""
    with _opened(passages, memory_mb, spill, size=passages.sizes, rate=passages.rates) as connection:
        connection.register("pairs", pa.table({"first": pairs[0], "second": pairs[1]}))
        found = connection.execute("""
            WITH shared AS (
                SELECT first, second, count(*) AS shared
                FROM pairs
                JOIN passages a ON a.document = first JOIN passages b ON b.document = second AND b.hash = a.hash
                GROUP BY ALL)
            SELECT first, second
            FROM shared JOIN documents a ON a.document = first JOIN documents b ON b.document = second
            WHERE shared > $1 * least(a.size, b.size) * least(a.rate, b.rate)
            """, [wanted]).fetchnumpy()  # fmt: skip
    return np.array([found["first"], found["second"]], dtype=np.int64)


@contextmanager
def _opened(
    passages: Passages, memory_mb: int, spill: Path, **of_documents: Any
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the passages and, as the table ``documents``, what is known of each document."""
    settings: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": len(os.sched_getaffinity(0)),
        "temp_directory": str(spill),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=settings) as connection:
        numbers = np.arange(len(passages.sizes))
        connection.register("documents", pa.table({"document": numbers, **of_documents}))
        parts = []
        for index, (path, documents) in enumerate(zip(passages.files, passages.documents, strict=True)):
            kept = np.flatnonzero(documents >= 0)
            connection.register(f"rows{index}", pa.table({"row": kept, "document": documents[kept]}))
            name = str(path).replace("'", "''")
            parts.append(f"SELECT hash, document FROM read_parquet('{name}') JOIN rows{index} USING (row)")
        connection.execute(f"CREATE TEMP VIEW passages AS {' UNION ALL '.join(parts)}")
        yield connection
