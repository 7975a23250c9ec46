"""All documents that were read, with what is known of each, and how some of them are dropped or cut."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope.data.duplicates import Passages
from hope.data.part_files import LINES, PASSAGE_FILES, RUNS, Part
from hope.data.parts import DocumentPassages, digest_of_text, write_passages
from hope.data.passages import FINER, sampled_runs
from hope.errors import UserError

RUNS_BY_CHANCE = 0.2
"""Share of the runs of letters that unrelated documents may have in common: runs are short. Measured in speeches and
source code, it is at most 0.1 between documents that share no passage on purpose."""

EXAMPLES = 10
"""Documents that are named for each reason to drop or cut one."""


@dataclass
class Rows:
    """All documents that were read, one row each, in their order.

    Attributes:
        parts: that they lie in.
        starts: number of the first row of each part, then that of all rows [parts + 1].
        source: number of the source of each row [rows].
        characters: length of each text, as far as it is kept [rows].
        bytes: the same in bytes of UTF-8 [rows].
        rate: share of the runs and phrases of each that are kept in the files [rows].
        digest: of each text as far as it is kept, as two numbers [rows, 2].
        passages: their number in each file, by its name [rows].
        kept: False for rows that are dropped [rows].
        cut: new passages of the rows that are cut.
    """

    parts: list[Part]
    starts: NDArray[np.int64]
    source: NDArray[np.int64]
    characters: NDArray[np.int64]
    bytes: NDArray[np.int64]
    rate: NDArray[np.float64]
    digest: NDArray[np.uint64]
    passages: dict[str, NDArray[np.int64]]
    kept: NDArray[np.bool_]
    cut: dict[int, DocumentPassages]

    @classmethod
    def of(cls, parts: list[Part], names: list[str]) -> "Rows":
        """Read the numbers of all documents of these parts, whose sources are ``names``."""

        def joined(name: str, dtype: str = "<i8") -> NDArray[Any]:
            return np.concatenate([part.numbers(name, dtype) for part in parts])

        counts = [part.documents for part in parts]
        source = np.repeat([names.index(part.description["source"]) for part in parts], counts)
        passages = dict(zip(PASSAGE_FILES, map(joined, ("lines", "runs", "phrases")), strict=True))
        starts = np.concatenate([[0], np.cumsum(counts)])
        return cls(
            parts=parts,
            starts=starts,
            source=source,
            characters=joined("characters"),
            bytes=joined("bytes"),
            rate=joined("rate", "<f8"),
            digest=_as_numbers(np.concatenate([part.digests() for part in parts])),
            passages=passages,
            kept=np.ones(len(source), dtype=bool),
            cut={},
        )

    def names(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the names of these rows."""
        found = []
        for row in rows.tolist():
            part = int(np.searchsorted(self.starts, row, side="right")) - 1
            found += self.parts[part].names(np.array([row - int(self.starts[part])])).to_pylist()
        return found

    def by_part(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield each part's number, and those of ``rows`` that lie in it, which ascend."""
        for number, (start, end) in enumerate(zip(self.starts, self.starts[1:], strict=False)):
            yield number, rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)]

    def texts(self, rows: NDArray[np.int64]) -> Iterator[str]:
        """Yield the texts of these rows, which ascend, as far as they are kept."""
        for number, inside in self.by_part(rows):
            texts = self.parts[number].texts(inside - self.starts[number])
            for text, row in zip(texts, inside, strict=True):
                yield text[: self.characters[row]]

    def passages_of(self, name: str, spill: Path) -> Passages:
        """Return the passages of the kept rows that lie in the files ``name``."""
        kept = np.flatnonzero(self.kept)
        documents = np.full(len(self.kept), -1)
        documents[kept] = np.arange(len(kept))
        cut = sorted(self.cut)
        again = documents[cut]
        documents[cut] = -1
        write_passages(spill / name, (self.cut[row].hashes[name] for row in cut))
        of_parts = [documents[start:end] for start, end in zip(self.starts, self.starts[1:], strict=False)]
        rate = np.ones(len(kept)) if name == LINES else self.rate[kept]
        return Passages(
            files=[*(part.folder / name for part in self.parts), spill / name],
            documents=[*of_parts, again],
            sizes=self.passages[name][kept] / rate,
            rates=rate,
            by_chance=RUNS_BY_CHANCE if name == RUNS else 0.0,
            finer=None if name == LINES else lambda numbers: self._finer(kept, numbers, spill),
        )

    def _finer(self, kept: NDArray[np.int64], numbers: NDArray[np.int64], spill: Path) -> Passages:
        """Return a finer sample of the runs of some of the kept documents."""
        path, rates = spill / "finer.parquet", []

        def hashes() -> Iterator[NDArray[np.uint64]]:
            for text in self.texts(kept[numbers]):
                runs = sampled_runs(text, FINER)
                rates.append(runs.rate)
                yield runs.hashes

        size, rate = np.zeros(len(kept)), np.ones(len(kept))
        size[numbers] = write_passages(path, hashes())
        rate[numbers] = rates
        return Passages([path], [numbers], size / rate, rate)


def _as_numbers(digests: NDArray[Any]) -> NDArray[np.uint64]:
    """Return digests of 16 bytes as two numbers each [digests, 2]."""
    return digests.view("<u8").reshape(-1, 2)


def drop_copies(rows: Rows) -> list[tuple[int, int]]:
    """Drop all but the first of each set of kept rows with the same text; return each copy with the row that stays."""
    kept = np.flatnonzero(rows.kept)
    digests = rows.digest[kept]
    order = np.lexsort((kept, digests[:, 0], digests[:, 1]))
    again = np.concatenate([[False], (digests[order[1:]] == digests[order[:-1]]).all(axis=1)])
    firsts = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    copies, originals = kept[order[again]], kept[order[firsts[again]]]
    rows.kept[copies] = False
    return sorted(zip(copies.tolist(), originals.tolist(), strict=True))


def cut_limit(characters: NDArray[np.int64], share: float) -> int:
    """Return the length that is ``share`` of all characters of documents with these lengths, in characters.

    It is at least twice the mean length: each of a few documents is a large share, and cutting them all would only
    discard text.
    """
    total = int(characters.sum())
    return int(max(share * total, 2 * total / len(characters)))


def weigh(rows: Rows, names: list[str], weights: list[float] | None, share: float) -> int:
    """Drop rows until the characters of the sources of a mixture are as their weights, and return the limit for cuts.

    The most characters that all sources can give are kept. Which documents stay depends on their content alone. A
    document counts as far as it is kept when it is cut to the limit, which in turn depends on what is kept.

    Args:
        rows: of all sources.
        names: of the sources.
        weights: of each source; None if there is only one.
        share: of all characters, to which :func:`cut_long` will cut a document.

    Returns:
        The limit, in characters.
    """
    limit, tried = cut_limit(rows.characters[rows.kept], share), set[int]()
    if weights is None:
        return limit
    # Within its source, by digest.
    order = np.flatnonzero(rows.kept)
    order = order[np.lexsort((rows.digest[order, 0], rows.source[order]))]
    sources = [order[rows.source[order] == source] for source in range(len(weights))]
    while limit not in tried:  # A limit that recurs is stable, or one of those between which it changes.
        tried.add(limit)
        lengths = [np.minimum(rows.characters[mine], limit) for mine in sources]
        per_weight = min(each.sum() / weight for each, weight in zip(lengths, weights, strict=True))
        if not per_weight:
            empty = names[[bool(len(mine)) for mine in sources].index(False)]
            raise UserError(f"corpus.mixture.{empty}: has no text that the sources before it lack; leave it out")
        # The document that passes the weight stays: a source of one document is not lost.
        chosen = [
            mine[np.cumsum(each) - each < weight * per_weight]
            for mine, each, weight in zip(sources, lengths, weights, strict=True)
        ]
        used, limit = limit, cut_limit(rows.characters[np.concatenate(chosen)], share)
    rows.kept[:] = False
    rows.kept[np.concatenate(chosen)] = True
    return used


def cut_long(rows: Rows, limit: int) -> NDArray[np.int64]:
    """Cut each kept row to ``limit`` characters; return the rows that were cut.

    A cut falls after the last whole line if that keeps more than half of the limit.
    """
    cut = np.flatnonzero(rows.kept & (rows.characters > limit))
    for row, text in zip(cut.tolist(), rows.texts(cut), strict=True):
        line_end = text.rfind("\n", 0, limit) + 1
        text = text[: line_end if line_end > limit / 2 else limit]
        rows.characters[row], rows.bytes[row] = len(text), len(text.encode())
        rows.digest[row] = _as_numbers(np.frombuffer(digest_of_text(text), "V16"))
        rows.cut[row] = DocumentPassages.of(text)
        rows.rate[row] = rows.cut[row].rate
        for name, hashes in rows.cut[row].hashes.items():
            rows.passages[name][row] = len(hashes)
    return cut
