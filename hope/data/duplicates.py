"""Near copies: documents that share passages, found without comparing every pair.

DuckDB does the joins, within a bounded memory: what does not fit goes to the disk.
"""

import glob
import math
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
"""Documents above which a passage is common (a licence, an import) and links only neighbours in their order."""

LINKS = 32
"""Two documents are compared if at least one in this many of the passages that they must share links them: in a large
corpus, too many pairs of unrelated documents share a rare passage or two."""

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

    A passage links two documents if at most :data:`COMMON` documents hold it, or if they follow one another among the
    holders of a more common one. Documents that enough passages link are compared (see :data:`LINKS`), by all of
    their passages, common ones too. So the work grows with the number of passages, not with the square of the number
    of documents.

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
            shared, needed = _shared(unsure, kind.finer(np.unique(unsure)), wanted, memory_mb, spill)
            found.append(unsure[:, shared > needed])
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
    with _opened(passages, memory_mb, spill, size=passages.sizes, rate=passages.rates) as connection:
        connection.execute("CREATE TEMP TABLE links (first UINTEGER, second UINTEGER, links UINTEGER)")
        for part in _slices(float(passages.sizes @ passages.rates), memory_mb):
            connection.execute(f"CREATE OR REPLACE TEMP TABLE slice AS FROM passages WHERE {part}")
            connection.execute("""
                CREATE OR REPLACE TEMP TABLE held AS
                SELECT hash, document, row_number() OVER holders AS place,
                       count(*) OVER (PARTITION BY hash) > $1 AS common
                FROM slice
                WHERE hash IN (SELECT hash FROM slice GROUP BY hash HAVING count(*) > 1)
                WINDOW holders AS (PARTITION BY hash ORDER BY document)
                """, [COMMON])  # fmt: skip
            connection.execute("""
                INSERT INTO links
                SELECT first, second, count(*)
                FROM (
                    SELECT a.document AS first, b.document AS second
                    FROM held a JOIN held b ON a.hash = b.hash AND a.document < b.document
                    WHERE NOT a.common AND NOT b.common
                    UNION ALL
                    SELECT a.document, b.document
                    FROM held a JOIN held b ON a.hash = b.hash AND a.place + 1 = b.place
                    WHERE a.common AND b.common)
                GROUP BY ALL
                """)  # fmt: skip
        connection.execute("DROP TABLE slice; DROP TABLE held")
        linked = connection.sql("""
            SELECT first::BIGINT AS first, second::BIGINT AS second
            FROM (SELECT first, second, sum(links) AS links FROM links GROUP BY ALL)
            JOIN documents a ON a.document = first JOIN documents b ON b.document = second
            WHERE links * $1 >= $2 * least(a.size, b.size) * least(a.rate, b.rate)
            """, params=[LINKS, wanted]).to_arrow_table()  # fmt: skip
    pairs = _pairs(linked)
    shared, needed = _shared(pairs, passages, wanted, memory_mb, spill)
    # Three standard deviations of the number of shared passages in a sample.
    sampled = passages.rates[pairs].min(axis=0) < 1
    error = np.where(sampled, 3 * np.sqrt(needed * (1 - wanted)), 0)
    sure = shared > needed + error
    return pairs[:, sure], pairs[:, ~sure & (shared > needed - error)]


def _shared(
    pairs: NDArray[np.int64], passages: Passages, wanted: float, memory_mb: int, spill: Path
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how many passages the documents of each pair share, and the number that is ``wanted`` of the shorter.

    Returns:
        Two arrays [pairs].
    """
    shared = np.zeros(pairs.shape[1], dtype=np.int64)
    members = np.unique(pairs)
    held = float(passages.sizes[members] @ passages.rates[members])
    with _opened(passages, memory_mb, spill) as connection:
        connection.register("pairs", _table(pair=np.arange(len(shared)), first=pairs[0], second=pairs[1]))
        connection.register("members", _table(document=members))
        for part in _slices(held, memory_mb):
            connection.execute(f"""
                CREATE OR REPLACE TEMP TABLE slice AS
                FROM passages WHERE {part} AND document IN (SELECT document FROM members)
                """)  # fmt: skip
            found = connection.sql("""
                SELECT pair, count(*) AS shared
                FROM pairs
                JOIN slice a ON a.document = first JOIN slice b ON b.document = second AND b.hash = a.hash
                GROUP BY ALL
                """).to_arrow_table()  # fmt: skip
            shared[numbers(found["pair"], "<i8")] += numbers(found["shared"], "<i8")
    return shared, wanted * passages.sizes[pairs].min(axis=0) * passages.rates[pairs].min(axis=0)


def _slices(passages: float, memory_mb: int) -> list[str]:
    """Return conditions that each take a slice of so many passages by their hash, as large as the memory allows."""
    count = max(1, math.ceil(passages / (memory_mb * SLICE_PASSAGES)))
    return [f"hash(hash) % {count} = {number}" for number in range(count)]


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
