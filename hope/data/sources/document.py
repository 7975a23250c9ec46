"""Documents, the record of what a source gave, and how a source is cut into shards."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from hope.errors import UserError, nearest

LONE_SURROGATE = re.compile("[\ud800-\udfff]")

NAMED = 20
"""Number of remarks that are kept; all are counted."""


class Document(NamedTuple):
    """One text, and its place within the corpus as a name, which contains no path of the machine."""

    name: str
    text: str


class Shard(NamedTuple):
    """One of several parts of a source.

    Attributes:
        number: of the part, from 0.
        of: the number of parts.
    """

    number: int
    of: int

    def span(self, size: int) -> tuple[int, int]:
        """Return the first element of this part of ``size`` elements, and the first one after it."""
        return size * self.number // self.of, size * (self.number + 1) // self.of

    def pieces(self, sizes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
        """Yield (file, start, stop) for the bytes of this part: all files end to end, cut into equal parts.

        Args:
            sizes: bytes of each file; an empty file counts as one byte, so that it belongs to a part too.
        """
        low, high = self.span(sum(max(size, 1) for size in sizes))
        begin = 0
        for index, size in enumerate(sizes):
            end = begin + max(size, 1)
            if begin < high and end > low:
                yield index, max(low - begin, 0), min(high, end) - begin
            begin = end


WHOLE = Shard(0, 1)
"""A source in one part."""


@dataclass
class Record:
    """What was read, for ``corpus.json``; the records of all parts are added up.

    Attributes:
        limit: bytes of the largest document that fits the memory of a job.
        bytes: size of the text in UTF-8.
        empty: documents without text, which are left out.
        unreadable: files that cannot be opened, which are left out.
        encodings: number of files by character encoding.
        remarks: texts that may not be what was meant, the first :data:`NAMED` of them, each with its place.
        remarked: their number.
    """

    limit: int = 250_000_000
    bytes: int = 0
    empty: int = 0
    unreadable: int = 0
    encodings: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    remarked: int = 0

    def remark(self, place: str, words: str) -> None:
        """Print and keep one line about a text that may not be what was meant."""
        self.remarked += 1
        if self.remarked <= NAMED:
            line = f"{printable(place)}: {words}"
            print(f"corpus: {line}", flush=True)
            self.remarks.append(line)

    def document(self, name: str, text: str) -> Document | None:
        """Return a document, or None and count it as empty if its text has only white space.

        Halves of surrogate pairs, which are valid in JSON and in names of files but not in UTF-8, become U+FFFD.

        Raises:
            UserError: it does not fit the memory of a job.
        """
        if not text or text.isspace():
            self.empty += 1
            return None
        text = printable(text)
        self.check_size(name, len(text) if text.isascii() else len(text.encode()))
        return Document(printable(name), text)

    def check_size(self, place: str, size: int) -> None:
        """Refuse a document of ``size`` bytes that does not fit the memory of a job."""
        if size > self.limit:
            raise UserError(
                f"{place}: holds a document of more than {self.limit / 1e6:,.0f} MB, which corpus.memory_mb does not "
                "allow; split it into several documents, or raise corpus.memory_mb"
            )

    def add(self, other: Mapping[str, Any]) -> None:
        """Add the content of another record."""
        self.bytes += other["bytes"]
        self.empty += other["empty"]
        self.unreadable += other["unreadable"]
        self.encodings.update(other["encodings"])
        self.remarks = (self.remarks + other["remarks"])[:NAMED]
        self.remarked += other["remarked"]

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain values."""
        content = asdict(self) | {"encodings": dict(sorted(self.encodings.items()))}
        del content["limit"]
        return content


def printable(text: str) -> str:
    """Return a text that can be written as UTF-8: halves of surrogate pairs become U+FFFD."""
    return LONE_SURROGATE.sub("\ufffd", text)


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
