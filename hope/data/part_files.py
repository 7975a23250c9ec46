"""The files of a part of a corpus, as they are read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hope.data.columns import column, numbers, read_columns
from hope.files import read_json

TEXTS, DESCRIPTION = "texts.parquet", "part.json"
"""Files of a part that stay; the description is written last."""

LINES, RUNS, PHRASES = PASSAGE_FILES = ("lines.parquet", "runs.parquet", "phrases.parquet")
"""Files of the passages of a part, which are needed until the corpus is split."""


@dataclass(frozen=True)
class Part:
    """A part that has been read.

    Attributes:
        folder: of its files.
        description: content of ``part.json``.
    """

    folder: Path
    description: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Part":
        """Return the part in ``folder``.

        Raises:
            UserError: it has not been read to its end.
        """
        return cls(folder, read_json(folder / DESCRIPTION))

    @property
    def documents(self) -> int:
        """The number of documents."""
        return int(self.description["documents"])

    def numbers(self, name: str, dtype: str = "<i8") -> NDArray[Any]:
        """Return a column of numbers [documents]."""
        return numbers(read_columns(self.folder / TEXTS, name)[0], dtype)

    def digests(self) -> NDArray[Any]:
        """Return the digest of each text [documents], of 16 bytes."""
        return self.numbers("digest", "V16")

    def names(self, rows: NDArray[np.int64]) -> pa.ChunkedArray:
        """Return the names of the documents in these rows."""
        return read_columns(self.folder / TEXTS, "name")[0].take(column(rows))

    def texts(self, rows: NDArray[np.int64]) -> Iterator[str]:
        """Yield the texts of these rows, which ascend, with one row group in memory at a time."""
        with pq.ParquetFile(self.folder / TEXTS) as file:
            first = 0
            for group in range(file.num_row_groups):
                end = first + file.metadata.row_group(group).num_rows
                inside = rows[np.searchsorted(rows, first) : np.searchsorted(rows, end)]
                if len(inside):
                    texts = file.read_row_group(group, columns=["text"])["text"].take(column(inside - first))
                    yield from (text.as_py() for text in texts)
                first = end
