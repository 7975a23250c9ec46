"""All documents that were read, with what is known of each, and how some of them are dropped or cut."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope.data.duplicates import Passages
from hope.data.part_files import LINES, PASSAGE_FILES, RUNS, Part
from hope.data.parts import DocumentPassages, write_passages
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
            passages=passages,
            kept=np.ones(len(source), dtype=bool),
            cut={},
        )

    def digests(self) -> NDArray[np.uint64]:
        """Return the digest of each text as two numbers [rows, 2]."""
        return np.concatenate([part.digests() for part in self.parts]).view("<u8").reshape(-1, 2)

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


def drop_copies(rows: Rows) -> dict[str, Any]:
    """Drop all but the first of each set of rows with the same text; return their number and examples."""
    digests = rows.digests()
    order = np.lexsort((np.arange(len(digests)), digests[:, 0], digests[:, 1]))
    again = np.concatenate([[False], (digests[order[1:]] == digests[order[:-1]]).all(axis=1)])
    rows.kept[order[again]] = False
    firsts = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    pairs = sorted(zip(order[again].tolist(), order[firsts[again]].tolist(), strict=True))[:EXAMPLES]
    examples = [rows.names(np.array(pair)) for pair in pairs]
    return {"count": int(again.sum()), "examples": [{"copy": copy, "kept": kept} for copy, kept in examples]}


def weigh(rows: Rows, names: list[str], weights: list[float] | None) -> int:
    """Drop rows until the characters of the sources of a mixture are as their weights; return how many were dropped.

    The most characters that all sources can give are kept. Which documents stay depends on their content alone.

    Args:
        rows: of all sources.
        names: of the sources.
        weights: of each source; None if there is only one.
    """
    if weights is None:
        return 0
    of_source = np.bincount(rows.source[rows.kept], weights=rows.characters[rows.kept], minlength=len(weights))
    per_weight = (of_source / weights).min()
    if not per_weight:
        empty = names[int(np.argmin(of_source))]
        raise UserError(f"corpus.mixture.{empty}: has no text that the sources before it lack; leave it out")
    digests, dropped = rows.digests()[:, 0], 0
    for source, weight in enumerate(weights):
        mine = np.flatnonzero(rows.kept & (rows.source == source))
        mine = mine[np.argsort(digests[mine], kind="stable")]
        # The document that passes the weight stays: a source of one document is not lost.
        before = np.cumsum(rows.characters[mine]) - rows.characters[mine]
        rows.kept[mine[before >= weight * per_weight]] = False
        dropped += int((before >= weight * per_weight).sum())
    return dropped


def cut_long(rows: Rows, share: float) -> NDArray[np.int64]:
    """Cut each kept row to ``share`` of all characters; return the rows that were cut.

    The limit is at least twice the mean length: each of a few documents is a large share, and cutting them all
    would only discard text. A cut falls after the last whole line if that keeps more than half of the limit.
    """
    total = int(rows.characters[rows.kept].sum())
    limit = int(max(share * total, 2 * total / int(rows.kept.sum())))
    cut = np.flatnonzero(rows.kept & (rows.characters > limit))
    for row, text in zip(cut.tolist(), rows.texts(cut), strict=True):
        line_end = text.rfind("\n", 0, limit) + 1
        text = text[: line_end if line_end > limit / 2 else limit]
        rows.characters[row], rows.bytes[row] = len(text), len(text.encode())
        rows.cut[row] = DocumentPassages.of(text)
        rows.rate[row] = rows.cut[row].rate
        for name, hashes in rows.cut[row].hashes.items():
            rows.passages[name][row] = len(hashes)
    return cut
