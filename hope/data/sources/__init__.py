"""Sources of text: one module per source, and their registry."""

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from hope.config import TextSource
from hope.data.sources.document import WHOLE, Document, Record, Shard
from hope.errors import UserError

SOURCES = {
    "python_stdlib": "hope.data.sources.python_stdlib",
    "files": "hope.data.sources.readers",
    "hub": "hope.data.sources.hub",
}
"""Modules by source; each defines ``read`` and ``origin`` like the functions here."""


def read(source: TextSource, record: Record, shard: Shard = WHOLE) -> Iterator[Document]:
    """Yield the documents of one shard of a source except empty ones, in an order that no number of shards changes.

    Args:
        source: where the text comes from.
        record: is filled while documents are read.
        shard: the part to read; all shards together give every document once.

    Raises:
        UserError: the source or a part of it is missing or unreadable.
    """
    return _module(source).read(source, record, shard)


def collect(source: TextSource) -> list[Document]:
    """Return all documents of a small source.

    Raises:
        UserError: the source or a part of it is missing or unreadable, or no document has any text.
    """
    record = Record()
    documents = list(read(source, record))
    if not documents:
        raise UserError(no_text(record))
    return documents


def no_text(record: Record) -> str:
    """Return the error that nothing was found to read."""
    return (
        f"corpus.files.paths: no document with any text ({record.empty} empty documents, {record.unreadable} "
        "unreadable files); name files with text"
    )


def origin(source: TextSource) -> dict[str, Any]:
    """Return the description of a source for ``corpus.json``, without a path of the machine."""
    return _module(source).origin(source)


def _module(source: TextSource) -> ModuleType:
    return importlib.import_module(SOURCES[source.source])
