"""A document, and bytes as text."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hope.errors import UserError, nearest

LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Document(NamedTuple):
    """One text with a name that says where in its corpus it came from, never where on the machine."""

    name: str
    text: str


@dataclass
class Collection:
    """The documents of a source in a fixed order, and what is recorded about where they came from."""

    documents: list[Document] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)
    empty: int = 0

    def add(self, name: str, text: str) -> None:
        """Take a document; one of nothing but white space is counted and left out.

        Halves of surrogate pairs, which JSON may hold and UTF-8 may not, become U+FFFD.
        """
        if text and not text.isspace():
            self.documents.append(Document(LONE_SURROGATE.sub("\ufffd", name), LONE_SURROGATE.sub("\ufffd", text)))
        else:
            self.empty += 1


def decode(content: bytes) -> tuple[str, str] | None:
    r"""Return the text of a file and the name of its encoding; None if the file is no text.

    UTF-8 with or without a byte order mark, UTF-16 with one. Other bytes are read as Windows code page
    1252 (the printable part of Latin-1, and more), and where a byte has no meaning in that, as Latin-1, in
    which every byte has one. Line ends become ``\n``. A NUL character means that the file is no text,
    whatever its name says.
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
    """Return the text of a row of a table; a null is an empty text.

    Args:
        row: the values by field.
        text_field: the field that holds the text.
        where: the row's place, for the error.
        key: the config key that names the field, for the error.

    Raises:
        UserError: the row has no such field, or something else than text in it.
    """
    if text_field not in row:
        known = ", ".join(row) or "none"
        raise UserError(f"{where}: no field '{text_field}'{nearest(text_field, row)}; there are {known}: set {key}")
    text = row[text_field]
    if not isinstance(text, str | None):
        raise UserError(f"{where}: field '{text_field}' holds {type(text).__name__}, not text: set {key}")
    return text or ""
