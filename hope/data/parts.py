"""The parts of a corpus: the documents of one shard of one source, with what is needed to compare them with others."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hope import config
from hope.data import sources
from hope.data.columns import column, digests, strings
from hope.data.part_files import DESCRIPTION, LINES, PASSAGE_FILES, PHRASES, RUNS, TEXTS
from hope.data.passages import composed, line_hashes, sampled_runs
from hope.data.progress import ProgressLines
from hope.data.sources.document import Record, Shard
from hope.files import digests_of, whole_file, write_json

DOCUMENTS = pa.schema(
    [
        ("name", pa.large_string()),
        ("characters", pa.int64()),
        ("bytes", pa.int64()),
        ("digest", pa.binary(16)),
        ("lines", pa.int64()),
        ("runs", pa.int64()),
        ("phrases", pa.int64()),
        ("rate", pa.float64()),
        ("text", pa.large_string()),
    ]
)
PASSAGES = pa.schema([("row", pa.int64()), ("hash", pa.uint64())])
"""Columns of a file of passages: the number of a document within the file, and the hash of one of its passages."""

ROW_GROUP_CHARACTERS, ROW_GROUP_DOCUMENTS = 16_000_000, 100_000
"""Characters and documents in a row group of the texts, the part that a reader holds at once, at most."""

ROW_GROUP_PASSAGES = 4_000_000
"""Passages that are held before they are written."""


def read_part(settings: config.Corpus, part: int, folder: Path) -> None:
    """Read one part of a corpus into ``folder``: its texts and their passages, one row group in memory at a time.

    Parts are numbered through the shards of the first source, then through those of the next, so that the order of
    the documents does not depend on the number of shards.

    Raises:
        UserError: the source or a part of it is missing or unreadable.
    """
    shutil.rmtree(folder, ignore_errors=True)  # Older files must not be taken for newer ones.
    names = list(settings.sources)
    name, shard = names[part // settings.shards], Shard(part % settings.shards, settings.shards)
    # In memory at once are a document's bytes, its text, and what of them waits to be written.
    record = Record(limit=settings.memory_mb * 1_000_000 // 16)
    progress = ProgressLines(f"corpus part {part + 1} of {settings.parts}")
    documents = characters = 0
    with _writer(folder) as writer:
        for document in sources.read(settings.sources[name], record, shard):
            writer.add(document.name, document.text)
            documents += 1
            characters += len(document.text)
            progress.report(f"{documents:,} documents, {characters:,} characters of '{name}'")
    record.bytes = writer.bytes
    content = {"part": part, "source": name, "documents": documents, "characters": characters, **record.as_json()}
    outputs = digests_of([folder / name for name in (TEXTS, *PASSAGE_FILES)], folder)
    write_json(folder / DESCRIPTION, content | {"outputs": outputs})


@dataclass(frozen=True)
class DocumentPassages:
    """The passages of one document.

    Attributes:
        hashes: of each kind, by the file that it lies in; sorted and distinct [passages].
        rate: of the sample of runs and phrases.
    """

    hashes: dict[str, NDArray[np.uint64]]
    rate: float

    @classmethod
    def of(cls, text: str) -> "DocumentPassages":
        """Return the passages of a text."""
        runs = sampled_runs(text)
        return cls({LINES: line_hashes(text), RUNS: runs.hashes, PHRASES: runs.phrases}, runs.rate)


class _Row(NamedTuple):
    """One row of :data:`DOCUMENTS`, or all of a row group, field by field."""

    name: Any
    characters: Any
    bytes: Any
    digest: Any
    lines: Any
    runs: Any
    phrases: Any
    rate: Any
    text: Any


def digest_of_text(text: str) -> bytes:
    """Return a digest of 16 bytes by which exact copies are found, in whichever normal form of Unicode they are."""
    hashed = hashlib.blake2b(digest_size=16)
    for piece in composed(text):
        hashed.update(piece.encode())
    return hashed.digest()


@contextmanager
def _writer(folder: Path) -> Iterator["_Writer"]:
    """Open the files of a part for writing; after an error none is left."""
    with ExitStack() as stack:
        texts, *others = [stack.enter_context(whole_file(folder / name)) for name in (TEXTS, *PASSAGE_FILES)]
        passages = [stack.enter_context(closing(PassageWriter(path))) for path in others]
        writer = _Writer(stack.enter_context(pq.ParquetWriter(texts, DOCUMENTS, compression="zstd")), passages)
        yield writer
        writer.flush()


class _Writer:
    """Writes the files of a part while documents come in."""

    def __init__(self, texts: pq.ParquetWriter, passages: "list[PassageWriter]") -> None:
        self.bytes = 0
        self._texts, self._passages = texts, passages
        self._rows: list[_Row] = []
        self._characters = self._number = 0

    def add(self, name: str, text: str) -> None:
        """Take the next document."""
        passages = DocumentPassages.of(text)
        lines, runs, phrases = (len(passages.hashes[file]) for file in PASSAGE_FILES)
        content = text.encode()
        row = _Row(
            name.encode(), len(text), len(content), digest_of_text(text), lines, runs, phrases, passages.rate, content
        )
        self._rows.append(row)
        for writer, file in zip(self._passages, PASSAGE_FILES, strict=True):
            writer.add(self._number, passages.hashes[file])
        self._number += 1
        self.bytes += len(content)
        self._characters += len(text)
        if self._characters >= ROW_GROUP_CHARACTERS or len(self._rows) >= ROW_GROUP_DOCUMENTS:
            self.flush()

    def flush(self) -> None:
        """Write the documents that wait."""
        if self._rows:
            rows = _Row(*zip(*self._rows, strict=True))
            columns = [
                strings(rows.name),
                *(column(np.array(each, dtype=np.int64)) for each in (rows.characters, rows.bytes)),
                digests(rows.digest),
                *(column(np.array(each, dtype=np.int64)) for each in (rows.lines, rows.runs, rows.phrases)),
                column(np.array(rows.rate)),
                strings(rows.text),
            ]
            self._texts.write_table(pa.Table.from_arrays(columns, schema=DOCUMENTS))
        self._rows, self._characters = [], 0


def write_passages(path: Path, documents: Iterable[NDArray[np.uint64]]) -> list[int]:
    """Write the passages of documents, numbered from 0, into a file; return the number of passages of each."""
    counts = []
    with closing(PassageWriter(path)) as writer:
        for number, hashes in enumerate(documents):
            writer.add(number, hashes)
            counts.append(len(hashes))
    return counts


class PassageWriter:
    """Writes a file of passages."""

    def __init__(self, path: Path) -> None:
        """Open the file at ``path``."""
        # Hashes have no pattern that a compression could use.
        self._file = pq.ParquetWriter(path, PASSAGES, compression="none", use_dictionary=False)
        self._waiting: list[tuple[int, NDArray[np.uint64]]] = []
        self._count = 0

    def add(self, row: int, hashes: NDArray[np.uint64]) -> None:
        """Take the passages of a document."""
        if len(hashes):
            self._waiting.append((row, hashes))
        self._count += len(hashes)
        if self._count >= ROW_GROUP_PASSAGES:
            self._write()

    def _write(self) -> None:
        rows = [row for row, _ in self._waiting]
        hashes = [part for _, part in self._waiting]
        if rows:
            of_hashes = np.repeat(np.array(rows, dtype=np.int64), [len(part) for part in hashes])
            columns = [column(of_hashes), column(np.concatenate(hashes))]
            self._file.write_table(pa.Table.from_arrays(columns, schema=PASSAGES))
        self._waiting, self._count = [], 0

    def close(self) -> None:
        """Write what waits and close the file."""
        self._write()
        self._file.close()
