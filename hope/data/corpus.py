"""Prepare a corpus: drop exact copies, keep near copies on one side of the split, cut long documents."""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hope import config
from hope.data.duplicates import content_lines, group_near_duplicates
from hope.data.progress import ProgressLines
from hope.data.sources import collect
from hope.data.sources.document import Document
from hope.data.split import held_out
from hope.errors import UserError
from hope.files import read_json, sha256_of_file, whole_file, write_json

DOCUMENT_SCHEMA = pa.schema(
    [
        ("document", pa.int64()),
        ("name", pa.string()),
        ("split", pa.string()),
        ("group", pa.int64()),
        ("characters", pa.int64()),
        ("text", pa.large_string()),
    ]
)
ROW_GROUP_CHARACTERS = 16_000_000
"""Characters in a row group of the Parquet file, the part that a reader holds at once."""


def prepare_corpus(settings: config.Corpus, output: Path) -> None:
    """Collect, clean and split a corpus into ``output``: ``documents.parquet``, then ``corpus.json``.

    The whole text is held in memory once.

    Args:
        settings: the corpus and its validation side.
        output: a folder; made if missing.

    Raises:
        UserError: the source cannot be read, is empty, or cannot be split as the settings ask.
    """
    (output / "corpus.json").unlink(missing_ok=True)  # An older file must not describe newer documents.
    collection = collect(settings)
    documents = _without_copies(collection.documents)
    dropped = len(collection.documents) - len(documents)
    documents, cut = _cut_long(documents, settings.max_document_share)
    groups = group_near_duplicates(list(_lines(documents)), settings.near_duplicate_share)
    characters = np.array([len(document.text) for document in documents], dtype=np.int64)
    validation = held_out(characters, groups, settings.validation, settings.seed)
    _write_documents(output / "documents.parquet", documents, groups, validation)
    is_long = characters >= settings.validation.long_characters
    write_json(
        output / "corpus.json",
        {
            "source": settings.source,
            "origin": collection.origin,
            "documents": len(documents),
            "characters": int(characters.sum()),
            "digest": digest_of(document.text for document in documents),
            "documents_sha256": sha256_of_file(output / "documents.parquet"),
            "dropped_empty": collection.empty,
            "dropped_duplicates": dropped,
            "groups": int(groups.max()) + 1,
            "largest_group": int(np.bincount(groups).max()),
            "cut_documents": cut,
            "split": {
                "train": _counts(characters, is_long, ~validation),
                "validation": _counts(characters, is_long, validation),
            },
        },
    )


def read_corpus(folder: Path) -> dict[str, Any]:
    """Return ``corpus.json`` of a prepared corpus after checking its documents against it.

    Raises:
        UserError: a file is missing, or the documents are not those that ``corpus.json`` describes.
    """
    description = read_json(folder / "corpus.json")
    documents = folder / "documents.parquet"
    if not documents.is_file():
        raise UserError(f"{documents}: there is no such file; prepare the corpus again")
    if sha256_of_file(documents) != description.get("documents_sha256"):
        raise UserError(f"{documents}: altered since corpus.json was written; prepare the corpus again")
    return description


def read_texts(folder: Path, split: str) -> Iterator[str]:
    """Yield the texts of one side of the split in document order, with one row group in memory at a time."""
    with pq.ParquetFile(folder / "documents.parquet") as file:
        for index in range(file.num_row_groups):
            part = file.read_row_group(index, columns=["split", "text"])
            for side, text in zip(part["split"].to_pylist(), part["text"].to_pylist(), strict=True):
                if side == split:
                    yield text


def digest_of(texts: Iterable[str]) -> str:
    """Return the SHA-256 of all texts in order, each preceded by its length in bytes."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode()
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def _without_copies(documents: list[Document]) -> list[Document]:
    """Return the first of each set of documents with the same text."""
    first: dict[str, Document] = {}
    for document in documents:
        first.setdefault(document.text, document)
    return list(first.values())


def _cut_long(documents: list[Document], share: float) -> tuple[list[Document], int]:
    """Cut each document to ``share`` of all characters; return the documents and how many were cut.

    The limit is at least twice the mean length: each of a few documents is a large share, and cutting them all
    would only discard text. A cut falls after the last whole line if that keeps more than half of the limit.
    """
    total = sum(len(document.text) for document in documents)
    limit = int(max(share * total, 2 * total / len(documents)))
    shortened = []
    for name, text in documents:
        if len(text) > limit:
            line_end = text.rfind("\n", 0, limit) + 1
            text = text[: line_end if line_end > limit / 2 else limit]
        shortened.append(Document(name, text))
    return shortened, sum(len(document.text) > limit for document in documents)


def _lines(documents: list[Document]) -> Iterator[NDArray[np.uint64]]:
    """Yield the digests of each document's lines, with a progress line every few seconds."""
    progress = ProgressLines("corpus near copies")
    for number, document in enumerate(documents):
        yield content_lines(document.text)
        progress.report(f"lines of {number + 1:,} of {len(documents):,} documents")


def _counts(characters: NDArray[np.int64], is_long: NDArray[np.bool_], side: NDArray[np.bool_]) -> dict[str, int]:
    """Return the counts of one side of the split that ``corpus.json`` records."""
    return {
        "documents": int(side.sum()),
        "characters": int(characters[side].sum()),
        "long_documents": int((side & is_long).sum()),
    }


def _write_documents(
    path: Path, documents: list[Document], groups: NDArray[np.int64], validation: NDArray[np.bool_]
) -> None:
    """Write the table of documents in row groups of about ``ROW_GROUP_CHARACTERS`` characters."""
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, DOCUMENT_SCHEMA, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        pending = 0
        for index, (name, text) in enumerate(documents):
            rows.append(
                {
                    "document": index,
                    "name": name,
                    "split": "validation" if validation[index] else "train",
                    "group": int(groups[index]),
                    "characters": len(text),
                    "text": text,
                }
            )
            pending += len(text)
            if pending >= ROW_GROUP_CHARACTERS or index == len(documents) - 1:
                writer.write_table(pa.Table.from_pylist(rows, DOCUMENT_SCHEMA))
                rows, pending = [], 0
