"""Where text comes from: one small file for each source, a registry by name."""

import importlib
from collections.abc import Callable

from hope.config import Corpus
from hope.data.sources.document import Collection

SOURCES = {
    "python_stdlib": "hope.data.sources.python_stdlib",
    "files": "hope.data.sources.readers",
    "hub": "hope.data.sources.hub",
}
"""Modules by source; each offers ``collect(settings: Corpus) -> Collection``."""


def collect(settings: Corpus) -> Collection:
    """Return all documents of the corpus that ``settings`` names, empty ones left out.

    Raises:
        UserError: something named is missing or unreadable, or there is no text at all.
    """
    read: Callable[[Corpus], Collection] = importlib.import_module(SOURCES[settings.source]).collect
    return read(settings)
