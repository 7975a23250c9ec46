"""Near copies: documents that share passages, found without comparing every pair.

DuckDB does the joins, within a bounded memory: what does not fit goes to the disk.
"""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hope.data.columns import column, numbers
from hope.errors import UserError, short_reason

COMMON = 20
"""Documents above which a passage is common (a licence, an import) and joins only neighbours in their order."""

SLICE_PASSAGES = 30_000
"""Passages that are joined at once per MB of memory; the passages of a larger corpus are taken in slices by hash."""

THREAD_MB = 125
"""Memory that each thread of DuckDB gets, in MB: with less, many threads run out of it."""


class Passages(NamedTuple):
    """The passages of one kind of all documents of a corpus.

    Attributes:
        files: with the columns of :data:`hope.data.parts.PASSAGES`.
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
        # What other passages have joined needs no second look.
        group = _connected(np.concatenate(found, axis=1), count)
        unsure = unsure[:, group[unsure[0]] != group[unsure[1]]]
        if unsure.size and kind.finer:
            found.append(_confirmed(unsure, kind.finer(np.unique(unsure)), wanted, memory_mb, spill))
    return _connected(np.concatenate(found, axis=1), count)


def _connected(pairs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the group of each document that chains of pairs make [documents], numbered by its first document."""
    first = np.arange(count)
    while True:
        # Each document takes the lowest number that it or its partner leads to, and then follows it to its end.
        lowest = first.copy()
        for one, other in (pairs, pairs[::-1]):
            np.minimum.at(lowest, first[one], first[other])
        while (lowest[lowest] != lowest).any():
            lowest = lowest[lowest]
        lowest = lowest[first]
        if (lowest == first).all():
            return np.unique(first, return_inverse=True)[1]
        first = lowest


def shared_with_training(
    passages: Passages, held_out: NDArray[np.bool_], memory_mb: int, spill: Path
) -> NDArray[np.float64]:
    """Estimate the share of the passages of each held-out document that a training document has too [held out].

    A passage of both is found if the lower of the two rates keeps it. So each that is found stands for the rate of the
    held-out document over that rate (Horvitz and Thompson 1952), which has no bias before a share is held to at most 1.
    Where both keep all passages, it is exact.

    Args:
        passages: of all documents.
        held_out: True for held-out documents [documents].
        memory_mb: what DuckDB may hold.
        spill: folder for what does not fit.
    """
    with _opened(passages, memory_mb, spill, held_out=held_out.astype(np.int8), rate=passages.rates) as connection:
        found = connection.sql("""
            WITH asked AS (
                SELECT hash, document, rate FROM passages JOIN documents USING (document) WHERE held_out = 1),
            seen AS (
                SELECT hash, max(rate) AS highest FROM passages JOIN documents USING (document)
                WHERE held_out = 0 AND hash IN (SELECT hash FROM asked)
                GROUP BY hash)
            SELECT document, least(1, sum(if(highest > 0, greatest(1, rate / highest), 0)) / count(*)) AS share
            FROM asked LEFT JOIN seen USING (hash)
            GROUP BY document
            """).to_arrow_table()  # fmt: skip
    shares = np.zeros(len(held_out))
    shares[numbers(found["document"], "<i8")] = numbers(found["share"], "<f8")
    return shares[held_out]


def _near_pairs(
    passages: Passages, wanted: float, memory_mb: int, spill: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of documents that share more than ``wanted``, and those that the sample leaves undecided.

    Returns:
        Two arrays [2, pairs].
    """
    slices = int(np.ceil((passages.sizes * passages.rates).sum() / (memory_mb * SLICE_PASSAGES))) or 1
    with _opened(passages, memory_mb, spill, size=passages.sizes, rate=passages.rates) as connection:
        connection.execute("CREATE TEMP TABLE found (first BIGINT, second BIGINT, rare BIGINT)")
        connection.execute("CREATE TEMP TABLE commons (hash UBIGINT, document BIGINT)")
        for number in range(slices):
            connection.execute("""
                CREATE OR REPLACE TEMP TABLE slice AS
                SELECT hash, document FROM passages WHERE hash(hash) % $1 = $2
                """, [slices, number])  # fmt: skip
            connection.execute("""
                CREATE OR REPLACE TEMP TABLE held AS
                SELECT hash, document, row_number() OVER holders AS place,
                       count(*) OVER (PARTITION BY hash) > $1 AS common
                FROM slice
                WHERE hash IN (SELECT hash FROM slice GROUP BY hash HAVING count(*) > 1)
                WINDOW holders AS (PARTITION BY hash ORDER BY document)
                """, [COMMON])  # fmt: skip
            connection.execute("""
                INSERT INTO found
                SELECT first, second, count(*) FILTER (NOT common)
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
            connection.execute("INSERT INTO commons SELECT hash, document FROM held WHERE common")
        # The error is three standard deviations of the number of shared passages in a sample. Common passages are
        # compared only where they can reach the share.
        found = connection.sql("""
            WITH pairs AS (SELECT first, second, sum(rare)::BIGINT AS rare FROM found GROUP BY ALL),
            counts AS (SELECT document, count(*) AS common FROM commons GROUP BY ALL),
            needs AS (
                SELECT first, second, rare, least(coalesce(c.common, 0), coalesce(d.common, 0)) AS most,
                       $1 * least(a.size, b.size) * least(a.rate, b.rate) AS needed,
                       CASE WHEN least(a.rate, b.rate) < 1 THEN 3 * sqrt(needed * (1 - $1)) ELSE 0 END AS error
                FROM pairs
                JOIN documents a ON a.document = first JOIN documents b ON b.document = second
                LEFT JOIN counts c ON c.document = first LEFT JOIN counts d ON d.document = second
                WHERE rare + most > needed - error),
            shared AS (
                SELECT first, second, count(*) AS common
                FROM needs
                JOIN commons a ON a.document = first JOIN commons b ON b.document = second AND b.hash = a.hash
                WHERE rare <= needed + error
                GROUP BY ALL)
            SELECT first, second, (rare + coalesce(common, 0) > needed + error)::TINYINT AS sure
            FROM needs LEFT JOIN shared USING (first, second)
            WHERE rare + coalesce(common, 0) > needed - error
            """, params=[wanted]).to_arrow_table()  # fmt: skip
    pairs, sure = _pairs(found), numbers(found["sure"], "i1") == 1
    return pairs[:, sure], pairs[:, ~sure]


def _confirmed(
    pairs: NDArray[np.int64], passages: Passages, wanted: float, memory_mb: int, spill: Path
) -> NDArray[np.int64]:
    """Return those of the pairs that share more than ``wanted`` of these passages [2, pairs]."""
    with _opened(passages, memory_mb, spill, size=passages.sizes, rate=passages.rates) as connection:
        connection.register("pairs", _table(first=pairs[0], second=pairs[1]))
        found = connection.sql("""
            WITH shared AS (
                SELECT first, second, count(*) AS shared
                FROM pairs
                JOIN passages a ON a.document = first JOIN passages b ON b.document = second AND b.hash = a.hash
                GROUP BY ALL)
            SELECT first, second
            FROM shared JOIN documents a ON a.document = first JOIN documents b ON b.document = second
            WHERE shared > $1 * least(a.size, b.size) * least(a.rate, b.rate)
            """, params=[wanted]).to_arrow_table()  # fmt: skip
    return _pairs(found)


def _pairs(found: pa.Table) -> NDArray[np.int64]:
    """Return the pairs of documents in a table [2, pairs]."""
    return np.stack([numbers(found[name], "<i8") for name in ("first", "second")])


def _table(**columns: NDArray[Any]) -> pa.Table:
    """Return arrays as a table that DuckDB reads."""
    return pa.Table.from_arrays([column(values) for values in columns.values()], list(columns))


@contextmanager
def _one_line(spill: Path) -> Iterator[None]:
    """Turn what DuckDB raises about memory and disk into errors of one line."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise UserError("corpus.memory_mb: too little to compare the documents; raise it") from None
    except duckdb.IOException as error:
        reason = short_reason(error)
        raise UserError(
            f"{spill.parent}: cannot be used to compare documents ({reason}); free some disk space"
        ) from None


@contextmanager
def _opened(
    passages: Passages, memory_mb: int, spill: Path, **of_documents: Any
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the passages and, as the table ``documents``, what is known of each document.

    Raises:
        UserError: the memory does not suffice, or the disk is full.
    """
    settings: dict[str, Any] = {
        "memory_limit": f"{memory_mb}MB",
        "threads": min(len(os.sched_getaffinity(0)), max(1, memory_mb // THREAD_MB)),
        "temp_directory": str(spill),
        "preserve_insertion_order": False,
    }
    with _one_line(spill), duckdb.connect(config=settings) as connection:
        connection.register("documents", _table(document=np.arange(len(passages.sizes)), **of_documents))
        documents = np.concatenate(passages.documents)
        kept = np.flatnonzero(documents >= 0)
        connection.register("rows", _table(place=kept, document=documents[kept]))
        starts = np.cumsum([0, *map(len, passages.documents)])[:-1]
        paths = [str(path) for path in passages.files]
        connection.register("files", pa.table({"filename": paths, "start": column(starts)}))
        # One reader of all files: each reader holds a row group in memory.
        names = ", ".join("'{}'".format(glob.escape(path).replace("'", "''")) for path in paths)
        connection.execute(f"""
            CREATE TEMP VIEW passages AS
            SELECT hash, document
            FROM read_parquet([{names}], filename = true) JOIN files USING (filename) JOIN rows ON place = start + row
            """)  # fmt: skip
        yield connection
