"""Documents, and how bytes and table rows become their text."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hope.errors import UserError, nearest

LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Document(NamedTuple):
    """One text, and its place within the corpus as a name, which contains no path of the machine."""

    name: str
    text: str


@dataclass
class Collection:
    """The documents of a source in a fixed order, and the record of their origin for ``corpus.json``."""

    documents: list[Document] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)
    empty: int = 0

    def add(self, name: str, text: str) -> None:
        """Add a document, or count it as empty if it has only white space.

        Halves of surrogate pairs, which are valid in JSON but not in UTF-8, become U+FFFD.
        """
        if text and not text.isspace():
            self.documents.append(Document(LONE_SURROGATE.sub("\ufffd", name), LONE_SURROGATE.sub("\ufffd", text)))
        else:
            self.empty += 1


def decode(content: bytes) -> tuple[str, str] | None:
    r"""Return the text of a file and the name of its character encoding; None if the file is no text.

    The encoding is UTF-8 with or without a byte order mark, or UTF-16 with one. Other bytes are read as Windows code
    page 1252, or as Latin-1 if a byte is undefined there. Line ends become ``\n``. A file with a NUL character is no
    text.
    """
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252", "latin-1"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            return None
        return text.replace("\r\n", "\n").replace("\r", "\n"), encoding.removesuffix("-sig")
    return None


def text_of(row: Mapping[str, Any], text_field: str, where: str, key: str) -> str:
    """Return the text of a table row; null is an empty text.

    Args:
        row: the values by field.
        text_field: the field that holds the text.
        where: the row's place, for the error.
        key: the config key that names the field, for the error.

    Raises:
        UserError: the row has no such field, or the field holds no text.
    """
    if text_field not in row:
        known = ", ".join(row) or "none"
        raise UserError(f"{where}: no field '{text_field}'{nearest(text_field, row)}; there are {known}: set {key}")
    text = row[text_field]
    if not isinstance(text, str | None):
        raise UserError(f"{where}: field '{text_field}' holds {type(text).__name__}, not text: set {key}")
    return text or ""
