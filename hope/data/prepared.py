"""A prepared corpus, as it is read to make tokens."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hope.data.columns import numbers, read_columns, where_equal
from hope.data.part_files import TEXTS, Part
from hope.errors import UserError
from hope.files import read_json, sha256_of_file
from hope.paths import part_folder

DOCUMENTS = "documents.parquet"
"""The table of documents, without their texts."""


class Places(NamedTuple):
    """Where the texts of documents lie.

    Attributes:
        part: number of the part of each [documents].
        row: in the part [documents].
        characters: that are kept [documents].
    """

    part: NDArray[np.int64]
    row: NDArray[np.int64]
    characters: NDArray[np.int64]

    def at(self, chosen: NDArray[Any]) -> "Places":
        """Return those of some documents, given by their numbers or by a mask."""
        return Places(*(each[chosen] for each in self))


def read_corpus(folder: Path, parts: Iterable[int] | None = None) -> dict[str, Any]:
    """Return ``corpus.json`` of a prepared corpus after checking its files against it.

    Args:
        folder: of the corpus.
        parts: whose texts are checked too; None for all.

    Raises:
        UserError: a file is missing, or the documents are not those that ``corpus.json`` describes.
    """
    description = read_json(folder / "corpus.json")
    digests = {folder / DOCUMENTS: description.get("documents_sha256")}
    known = description.get("parts", [])
    for part in range(len(known)) if parts is None else parts:
        digests[part_folder(folder, part) / TEXTS] = known[part]
    again = f"delete {folder / 'corpus.json'} and run the study again"
    for path, digest in digests.items():
        if not path.is_file():
            raise UserError(f"{path}: there is no such file; {again}")
        if sha256_of_file(path) != digest:
            raise UserError(f"{path}: altered since corpus.json was written; {again}")
    return description


def places(folder: Path, split: str) -> Places:
    """Return where the texts of one side of the split lie, in document order."""
    side, *columns = read_columns(folder / DOCUMENTS, "split", *Places._fields)
    chosen = where_equal(side, split)
    return Places(*(numbers(column, "<i8")[chosen] for column in columns))


def read_texts(folder: Path, split: str, parts: Iterable[int] | None = None) -> Iterator[str]:
    """Yield the texts of one side of the split in document order, with one row group in memory at a time.

    Args:
        folder: of the corpus.
        split: the side.
        parts: only the documents of these parts; None for all.
    """
    found = places(folder, split)
    yield from texts_at(folder, found if parts is None else found.at(np.isin(found.part, list(parts))))


def texts_at(folder: Path, found: Places) -> Iterator[str]:
    """Yield the texts at these places, which ascend."""
    for number in np.unique(found.part).tolist():
        inside = found.at(found.part == number)
        texts = Part.open(part_folder(folder, number)).texts(inside.row)
        for text, length in zip(texts, inside.characters.tolist(), strict=True):
            yield text[:length]


def sampled_places(folder: Path, split: str, characters: int) -> Places:
    """Return the places of documents in the order of the digests of their texts, until they have so many characters.

    The sample depends on the texts alone. It is in document order.
    """
    found = places(folder, split)
    if found.characters.sum() <= characters:
        return found
    digests = np.empty(len(found.row), dtype="V16")
    for number in np.unique(found.part).tolist():
        inside = found.part == number
        digests[inside] = Part.open(part_folder(folder, number)).digests()[found.row[inside]]
    order = np.lexsort(digests.view(">u8").reshape(-1, 2).T[::-1])
    enough = int(np.searchsorted(np.cumsum(found.characters[order]), characters)) + 1
    return found.at(np.sort(order[:enough]))
