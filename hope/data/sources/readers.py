"""A user's own files as documents: one per .txt and .md file, one per row of .jsonl and .parquet."""

import codecs
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from hope.config import TextSource
from hope.data.sources.document import Document, Record, Shard, text_of
from hope.data.sources.encoding import decode, is_mostly_utf8
from hope.data.sources.files import PACKED, find_files, kind_of
from hope.errors import UserError, short_reason

TEXT_FIELD = "corpus.files.text_field"

BATCH_BYTES = 16_000_000
"""Bytes of a Parquet file that are in memory at once, about; a row group may have as much as the whole file."""


class Piece(NamedTuple):
    """The part of a file that belongs to a shard.

    Attributes:
        path: of the file.
        name: its name within the corpus.
        start: first byte.
        stop: first byte after it; rows that begin before it belong to the piece.
        text_field: field that holds the text of a row.
        record: of the shard.
    """

    path: Path
    name: str
    start: int
    stop: int
    text_field: str
    record: Record


def read(source: TextSource, record: Record, shard: Shard) -> Iterator[Document]:
    """Yield the documents of ``source.files``: in the order of ``paths``, sorted within each path.

    Files of rows are cut between rows, so that a shard may begin within a file. A file that cannot be cut (a text, a
    compressed file) belongs to the shard in which it begins.

    Raises:
        UserError: a path matches nothing, a file cannot be read as its suffix says, or a row lacks the text field.
    """
    files, _ = find_files(source.files.paths)
    for index, start, stop in shard.pieces([path.stat().st_size for path, _ in files]):
        path, name = files[index]
        piece = Piece(path, name, start, stop, source.files.text_field, record)
        try:
            yield from READERS[kind_of(path)](piece)
        except (OSError, EOFError) as error:
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())
            raise UserError(f"{path}: cannot be read ({reason}); repair it or leave it out") from None


def origin(source: TextSource) -> dict[str, Any]:
    """Return the names of the paths, and the numbers of files read and skipped."""
    files, skipped = find_files(source.files.paths)
    return {"paths": [Path(path).name for path in source.files.paths], "files": len(files), "files_skipped": skipped}


def _opened(path: Path) -> IO[bytes]:
    """Open a file, and unpack it while it is read if its suffix says so."""
    if path.suffix.lower() not in PACKED:
        return open(path, "rb")
    import pyarrow as pa

    # An input file and not a stream: pyarrow's own streams read no line at a time.
    packed = pa.CompressedInputStream(pa.OSFile(str(path)), "gzip" if path.suffix.lower() == ".gz" else "zstd")
    return io.BufferedReader(packed, 1 << 20)


def _read_text(piece: Piece) -> Iterator[Document]:
    if piece.start:
        return
    decoded = decode(_content(piece))
    if decoded is None:
        raise UserError(
            f"{piece.path}: its character encoding is not UTF-8 and cannot be told, or it is no text; convert it to "
            "UTF-8, or leave it out of corpus.files.paths"
        )
    piece.record.encodings[decoded.encoding] += 1
    if decoded.remark:
        piece.record.remark(piece.name, decoded.remark)
    if document := piece.record.document(piece.name, decoded.text):
        yield document


def _content(piece: Piece) -> bytes:
    """Return the bytes of a file that is one document."""
    with _opened(piece.path) as handle:
        content = handle.read(piece.record.limit + 1)
    piece.record.check_size(str(piece.path), len(content))
    return content


def _read_jsonl(piece: Piece) -> Iterator[Document]:
    for number, line in _lines(piece):
        where = f"{piece.path}:{number}"
        piece.record.check_size(where, len(line))
        if not line.strip():
            continue
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = line.decode(errors="replace")
            if not is_mostly_utf8(text):
                raise UserError(f"{where}: not UTF-8; convert the file to UTF-8") from None
            piece.record.remark(f"{piece.name}:{number}", "damaged utf-8")
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            reason = f"{error.msg} at character {error.colno}"
            raise UserError(f"{where}: not valid JSON ({reason}); repair or delete the line") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: JSON that cannot be read ({error}); repair or delete the line") from None
        if not isinstance(row, dict):
            raise UserError(f"{where}: expected a JSON object with a field '{piece.text_field}'")
        text = text_of(row, piece.text_field, where, TEXT_FIELD)
        if document := piece.record.document(f"{piece.name}:{number}", text):
            yield document


def _lines(piece: Piece) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the lines that begin within the piece."""
    if piece.path.suffix.lower() in PACKED:
        if not piece.start:
            with _opened(piece.path) as handle:
                yield from enumerate(iter(lambda: handle.readline(piece.record.limit + 1), b""), start=1)
        return
    with open(piece.path, "rb") as handle:
        number, place = 1, 0
        block = b""
        # Lines are numbered from the start of the file.
        while place < piece.start and (block := handle.read(min(1 << 20, piece.start - place))):
            number += block.count(b"\n")
            place += len(block)
        if place and not block.endswith(b"\n"):
            number += 1
            while rest := handle.readline(1 << 20):  # It began in the piece before.
                place += len(rest)
                if rest.endswith(b"\n"):
                    break
        while place < piece.stop and (line := handle.readline(piece.record.limit + 1)):
            yield number, line
            number += 1
            place += len(line)


def _read_parquet(piece: Piece) -> Iterator[Document]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = piece.path.stat().st_size
    try:
        with pq.ParquetFile(piece.path, buffer_size=1 << 20) as file:
            text_of(dict.fromkeys(file.schema_arrow.names), piece.text_field, str(piece.path), TEXT_FIELD)
            number = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                # A row group lies where the share of the rows before it does.
                if piece.start <= number * size // max(file.metadata.num_rows, 1) < piece.stop:
                    yield from _read_rows(piece, file, group, number)
                number += rows
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = short_reason(error)
        raise UserError(f"{piece.path}: not a readable Parquet file ({reason}); write it again") from None


def _read_rows(piece: Piece, file: Any, group: int, number: int) -> Iterator[Document]:
    """Yield the documents of a row group, whose rows follow on row ``number``."""
    described = file.metadata.row_group(group)
    rows = max(1, min(1_000, BATCH_BYTES * described.num_rows // max(described.total_byte_size, 1)))
    for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=[piece.text_field]):
        for value in batch.column(0):
            number += 1
            row = {piece.text_field: value.as_py()}
            text = text_of(row, piece.text_field, f"{piece.path}, row {number}", TEXT_FIELD)
            if document := piece.record.document(f"{piece.name}:{number}", text):
                yield document


READERS: dict[str, Callable[[Piece], Iterator[Document]]] = {
    ".txt": _read_text,
    ".md": _read_text,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
"""Readers by the suffix that says what is in a file."""
