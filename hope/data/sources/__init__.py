"""Sources of text: one module per source, and their registry."""

import importlib
from collections.abc import Callable

from hope.config import Corpus
from hope.data.sources.document import Collection

SOURCES = {
    "python_stdlib": "hope.data.sources.python_stdlib",
    "files": "hope.data.sources.readers",
    "hub": "hope.data.sources.hub",
}
"""Modules by source; each defines ``collect(settings: Corpus) -> Collection``."""


def collect(settings: Corpus) -> Collection:
    """Return all documents of a corpus except empty ones.

    Raises:
        UserError: the source or a part of it is missing or unreadable, or no document has any text.
    """
    read: Callable[[Corpus], Collection] = importlib.import_module(SOURCES[settings.source]).collect
    return read(settings)
