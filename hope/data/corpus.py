"""Prepare a corpus: drop exact copies, keep near copies on one side of the split, cut long documents."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hope import config
from hope.data import sources
from hope.data.duplicates import Passages, group_near_copies, shared_with_training
from hope.data.parts import (
    LINES,
    PASSAGE_FILES,
    PHRASES,
    RUNS,
    TEXTS,
    DocumentPassages,
    Part,
    read_part,
    write_passages,
)
from hope.data.passages import FINER, sampled_runs
from hope.data.progress import beating
from hope.data.sources.document import Record
from hope.data.split import held_out
from hope.errors import UserError
from hope.files import read_json, sha256_of_file, whole_file, write_json
from hope.paths import part_folder

DOCUMENT_SCHEMA = pa.schema(
    [
        ("document", pa.int64()),
        ("name", pa.string()),
        ("source", pa.dictionary(pa.int32(), pa.string())),
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("group", pa.int64()),
        ("characters", pa.int64()),
        ("bytes", pa.int64()),
        ("part", pa.int64()),
        ("row", pa.int64()),
    ]
)
RUNS_BY_CHANCE = 0.2
"""Share of the runs of letters that unrelated documents may have in common: runs are short. Measured in speeches and
source code, it is at most 0.1 between documents that share no passage on purpose."""

EXAMPLES = 10
"""Documents that are named for each reason to drop or cut one."""

LENGTHS = (0, 0.1, 0.5, 0.9, 1)
"""Quantiles of the lengths of documents that are recorded."""

OVERLAPS = (0.0, 0.01, 0.1, 0.5, 1.0)
"""Ends of the classes in which held-out documents are counted by what they share with the training side."""


def prepare_corpus(settings: config.Corpus, output: Path) -> None:
    """Read, clean and split a corpus into ``output``: the parts, ``documents.parquet``, then ``corpus.json``.

    Every number and choice depends on the documents, their order and the settings' seed alone, not on the number of
    shards. In memory are some numbers of each document, and one part's row group of text at a time.

    Args:
        settings: the corpus, its validation side, and how it is prepared. Of several shards, those that
            :func:`hope.data.parts.read_part` has read are taken as they are; a single one is always read again.
        output: a folder; made if missing.

    Raises:
        UserError: a source cannot be read, the corpus is empty, or it cannot be split as the settings ask.
    """
    (output / "corpus.json").unlink(missing_ok=True)  # An older file must not describe newer documents.
    folders = [part_folder(output, part) for part in range(settings.parts)]
    for folder in set((output / "parts").glob("*")) - set(folders):
        shutil.rmtree(folder)
    own = [index for index, folder in enumerate(folders) if settings.shards == 1 or not (folder / "part.json").exists()]
    for index in own:
        read_part(settings, index, folders[index])
    spill = output / ".spill"
    try:
        _split([Part.open(folder) for folder in folders], settings, output, spill)
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    for index in own:
        for name in PASSAGE_FILES:
            (folders[index] / name).unlink()


def read_corpus(folder: Path, parts: Iterable[int] | None = None) -> dict[str, Any]:
    """Return ``corpus.json`` of a prepared corpus after checking its files against it.

    Args:
        folder: of the corpus.
        parts: whose texts are checked too; None for all.

    Raises:
        UserError: a file is missing, or the documents are not those that ``corpus.json`` describes.
    """
    description = read_json(folder / "corpus.json")
    digests = {folder / "documents.parquet": description.get("documents_sha256")}
    known = description.get("parts", [])
    for part in range(len(known)) if parts is None else parts:
        digests[part_folder(folder, part) / TEXTS] = known[part]
    for path, digest in digests.items():
        if not path.is_file():
            raise UserError(f"{path}: there is no such file; prepare the corpus again")
        if sha256_of_file(path) != digest:
            raise UserError(f"{path}: altered since corpus.json was written; prepare the corpus again")
    return description


def read_texts(folder: Path, split: str, parts: Iterable[int] | None = None) -> Iterator[str]:
    """Yield the texts of one side of the split in document order, with one row group in memory at a time.

    Args:
        folder: of the corpus.
        split: the side.
        parts: only the documents of these parts; None for all.
    """
    wanted = [("split", "=", split)]
    table = pq.read_table(folder / "documents.parquet", columns=["part", "row", "characters"], filters=wanted)
    part, row, characters = (column.to_numpy() for column in table.columns)
    for number in np.unique(part) if parts is None else parts:
        chosen = part == number
        texts = Part.open(part_folder(folder, int(number))).texts(row[chosen])
        for text, length in zip(texts, characters[chosen], strict=True):
            yield text[:length]


def digest_of(texts: Iterable[str]) -> str:
    """Return the SHA-256 of all texts in order, each preceded by its length in bytes."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode()
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


@dataclass
class _Rows:
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
    def of(cls, parts: list[Part], names: list[str]) -> "_Rows":
        """Read the numbers of all documents of these parts, whose sources are ``names``."""
        columns = [part.columns("characters", "bytes", "rate", "lines", "runs", "phrases") for part in parts]
        counts = [part.documents for part in parts]
        source = np.repeat([names.index(part.description["source"]) for part in parts], counts)
        characters, size, rate, *counted = (
            np.concatenate([column.to_numpy() for column in each]) for each in zip(*columns, strict=True)
        )
        passages = dict(zip(PASSAGE_FILES, counted, strict=True))
        starts = np.concatenate([[0], np.cumsum(counts)])
        return cls(parts, starts, source, characters, size, rate, passages, np.ones(len(source), dtype=bool), {})

    def digests(self) -> NDArray[np.uint64]:
        """Return the digest of each text as two numbers [rows, 2]."""
        columns = [part.columns("digest")[0].combine_chunks() for part in self.parts]
        joined = b"".join(b"".join(column.to_pylist()) for column in columns)
        return np.frombuffer(joined, dtype="<u8").reshape(-1, 2)

    def names(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the names of these rows."""
        found = []
        for row in rows.tolist():
            part = int(np.searchsorted(self.starts, row, side="right")) - 1
            found.append(self.parts[part].columns("name")[0][row - int(self.starts[part])].as_py())
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


def _split(parts: list[Part], settings: config.Corpus, output: Path, spill: Path) -> None:
    """Clean and split what was read, and write it down."""
    spill.mkdir(parents=True, exist_ok=True)
    names = list(settings.sources)
    record = Record()
    for part in parts:
        record.add(part.description)
    rows = _Rows.of(parts, names)
    if not len(rows.kept):
        raise UserError(sources.no_text(record))
    copies = _drop_copies(rows)
    left_out = _weigh(rows, names, settings.weights)
    cut = _cut_long(rows, settings.max_document_share)
    kept = np.flatnonzero(rows.kept)
    # DuckDB gets half of the memory: the numbers of the documents, and what it does not count, need the rest.
    memory = settings.memory_mb // 2
    with beating("corpus near copies"):
        kinds = [rows.passages_of(name, spill) for name in (LINES, RUNS)]
        groups = group_near_copies(kinds, settings.near_duplicate_share, memory, spill)
    validation = held_out(rows.characters[kept], groups, settings.validation, settings.seed)
    with beating("corpus overlap of the sides"):
        shared = shared_with_training(rows.passages_of(PHRASES, spill), validation, memory, spill)
    _write_documents(output / "documents.parquet", rows, names, groups, validation)
    is_long = rows.characters[kept] >= settings.validation.long_characters
    origins = {name: sources.origin(source) for name, source in settings.sources.items()}
    write_json(
        output / "corpus.json",
        {
            "source": settings.source,
            "origin": origins if settings.source == "mixture" else origins[names[0]],
            "sources": _of_sources(rows, names, validation),
            "documents": len(kept),
            "characters": int(rows.characters[kept].sum()),
            "bytes": int(rows.bytes[kept].sum()),
            "digest": digest_of(rows.texts(kept)),
            "documents_sha256": sha256_of_file(output / "documents.parquet"),
            "parts": [part.description["texts_sha256"] for part in parts],
            "dropped_empty": record.empty,
            "dropped_unreadable": record.unreadable,
            "dropped_duplicates": copies["count"],
            "dropped_by_weight": int(left_out),
            "duplicates": copies["examples"],
            "encodings": record.as_json()["encodings"],
            "remarks": record.remarks,
            "remarked": record.remarked,
            "groups": int(groups.max()) + 1,
            "largest_group": int(np.bincount(groups).max()),
            "near_copies": _near_examples(rows, kept, groups),
            "cut_documents": len(cut),
            "cut": rows.names(cut[:EXAMPLES]),
            "overlap": _overlap(rows, kept[validation], shared),
            "split": {
                "train": _counts(rows.characters[kept], is_long, ~validation),
                "validation": _counts(rows.characters[kept], is_long, validation),
            },
        },
    )


def _drop_copies(rows: _Rows) -> dict[str, Any]:
    """Drop all but the first of each set of rows with the same text; return their number and examples."""
    digests = rows.digests()
    order = np.lexsort((np.arange(len(digests)), digests[:, 0], digests[:, 1]))
    again = np.concatenate([[False], (digests[order[1:]] == digests[order[:-1]]).all(axis=1)])
    rows.kept[order[again]] = False
    firsts = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    pairs = sorted(zip(order[again].tolist(), order[firsts[again]].tolist(), strict=True))[:EXAMPLES]
    examples = [rows.names(np.array(pair)) for pair in pairs]
    return {"count": int(again.sum()), "examples": [{"copy": copy, "kept": kept} for copy, kept in examples]}


def _weigh(rows: _Rows, names: list[str], weights: list[float] | None) -> int:
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


def _cut_long(rows: _Rows, share: float) -> NDArray[np.int64]:
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


def _near_examples(rows: _Rows, kept: NDArray[np.int64], groups: NDArray[np.int64]) -> list[list[str]]:
    """Return the names of the first documents of the largest groups of near copies."""
    sizes = Counter(groups.tolist()).most_common(EXAMPLES)
    return [rows.names(kept[groups == group][:EXAMPLES]) for group, size in sizes if size > 1]


def _overlap(rows: _Rows, held: NDArray[np.int64], shared: NDArray[np.float64]) -> dict[str, Any]:
    """Return what the held-out documents share with the training side, for ``corpus.json``."""
    most = np.argsort(-shared, kind="stable")[:EXAMPLES]
    most = most[shared[most] > 0]
    ends = [str(end) for end in OVERLAPS]
    classes = np.bincount(np.searchsorted(OVERLAPS, shared), minlength=len(OVERLAPS))
    return {
        "mean": float(shared.mean()),
        "most": [
            {"document": name, "share": round(float(shared[index]), 4)}
            for index, name in zip(most, rows.names(held[most]), strict=True)
        ],
        "documents_up_to": dict(zip(ends, classes.tolist(), strict=True)),
    }


def _of_sources(rows: _Rows, names: list[str], validation: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
    """Return the counts of each source: what was read, and what is kept on each side."""
    kept = np.flatnonzero(rows.kept)
    counts = {}
    for number, name in enumerate(names):
        read, mine = rows.source == number, rows.source[kept] == number
        lengths = np.sort(rows.characters[kept[mine]])
        characters = int(lengths.sum())
        counts[name] = {
            "documents_read": int(read.sum()),
            "documents": int(mine.sum()),
            "characters": characters,
            "share": characters / int(rows.characters[kept].sum()),
            "bytes": int(rows.bytes[kept[mine]].sum()),
            "validation_documents": int((mine & validation).sum()),
            "lengths": [int(lengths[round(q * (len(lengths) - 1))]) for q in (0, 0.1, 0.5, 0.9, 1)]
            if characters
            else [],
        }
    return counts


def _counts(characters: NDArray[np.int64], is_long: NDArray[np.bool_], side: NDArray[np.bool_]) -> dict[str, int]:
    """Return the counts of one side of the split that ``corpus.json`` records."""
    return {
        "documents": int(side.sum()),
        "characters": int(characters[side].sum()),
        "long_documents": int((side & is_long).sum()),
    }


def _write_documents(
    path: Path, rows: _Rows, names: list[str], groups: NDArray[np.int64], validation: NDArray[np.bool_]
) -> None:
    """Write the table of documents, one row group per part."""
    kept, number = np.flatnonzero(rows.kept), 0
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, DOCUMENT_SCHEMA, compression="zstd") as writer:
        for part, inside in rows.by_part(kept):
            numbers = np.arange(number, number + len(inside))
            local = inside - rows.starts[part]
            columns = [
                numbers,
                rows.parts[part].columns("name")[0].take(local).combine_chunks(),
                pa.DictionaryArray.from_arrays(rows.source[inside].astype(np.int32), names),
                pa.DictionaryArray.from_arrays(validation[numbers].astype(np.int32), ["train", "validation"]),
                groups[numbers],
                rows.characters[inside],
                rows.bytes[inside],
                np.full(len(inside), part),
                local,
            ]
            writer.write_table(pa.table(columns, schema=DOCUMENT_SCHEMA))
            number += len(inside)
