"""A user's own files as documents: one per .txt and .md file, one per row of .jsonl and .parquet."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hope.config import Corpus
from hope.data.sources.document import Collection, decode, text_of
from hope.data.sources.files import find_files
from hope.errors import UserError

TEXT_FIELD = "corpus.files.text_field"

NAMED = 20
"""Number of files read by a fallback character encoding that are recorded by name; all are counted."""


def collect(settings: Corpus) -> Collection:
    """Return the documents of ``settings.files``: in the order of ``paths``, sorted within each path.

    Raises:
        UserError: a path matches nothing, a file cannot be read as its suffix says, a row lacks the text field, or
            no document has any text.
    """
    collection = Collection()
    encodings: Counter[str] = Counter()
    odd: list[str] = []
    files, skipped = find_files(settings.files.paths)
    for path, name in files:
        suffix = path.suffix.lower()
        try:
            encoding = READERS[suffix](path, name, settings.files.text_field, collection)
        except OSError as error:
            reason = " ".join(str(error.strerror or error).split())
            raise UserError(f"{path}: cannot be read ({reason}); repair it or leave it out") from None
        if encoding:
            encodings[encoding] += 1
            if encoding not in ("utf-8", "utf-16"):
                odd.append(name)
    if not collection.documents:
        raise UserError(
            f"corpus.files.paths: no document with any text in {len(files)} files ({collection.empty} empty documents)"
            "; name files with text"
        )
    collection.origin = {
        "paths": [Path(path).name for path in settings.files.paths],
        "files": len(files),
        "files_skipped": skipped,
        "text_encodings": dict(sorted(encodings.items())),
        "read_by_fallback": odd[:NAMED],
    }
    return collection


def _read_text(path: Path, name: str, _: str, collection: Collection) -> str:
    decoded = decode(path.read_bytes())
    if decoded is None:
        raise UserError(f"{path}: holds NUL bytes, so it is no text; leave it out of corpus.files.paths")
    collection.add(name, decoded[0])
    return decoded[1]


def _read_jsonl(path: Path, name: str, text_field: str, collection: Collection) -> None:
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except UnicodeDecodeError:
                raise UserError(f"{where}: not UTF-8; convert the file to UTF-8") from None
            except json.JSONDecodeError as error:
                reason = f"{error.msg} at character {error.colno}"
                raise UserError(f"{where}: not valid JSON ({reason}); repair or delete the line") from None
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where}: JSON that cannot be read ({error}); repair or delete the line") from None
            if not isinstance(row, dict):
                raise UserError(f"{where}: expected a JSON object with a field '{text_field}'")
            collection.add(f"{name}:{number}", text_of(row, text_field, where, TEXT_FIELD))


def _read_parquet(path: Path, name: str, text_field: str, collection: Collection) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            text_of(dict.fromkeys(columns), text_field, str(path), TEXT_FIELD)
            number = 0
            for batch in file.iter_batches(batch_size=1_000, columns=[text_field]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    text = text_of({text_field: value}, text_field, f"{path}, row {number}", TEXT_FIELD)
                    collection.add(f"{name}:{number}", text)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable Parquet file ({reason}); write it again") from None


READERS: dict[str, Callable[[Path, str, str, Collection], str | None]] = {
    ".txt": _read_text,
    ".md": _read_text,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
