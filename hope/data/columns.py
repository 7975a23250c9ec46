"""Columns of Parquet files from and to NumPy.

The conversions of pyarrow itself import pandas, which takes longer than preparing a small corpus.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray


def column(values: NDArray[Any]) -> pa.Array:
    """Return numbers as a column, without a copy."""
    whole = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(whole.dtype), len(whole), [None, pa.py_buffer(whole)])


def strings(contents: Sequence[bytes]) -> pa.Array:
    """Return texts in UTF-8 as a column."""
    ends = np.cumsum([0, *map(len, contents)], dtype=np.int64)
    return pa.Array.from_buffers(
        pa.large_string(), len(contents), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(contents))]
    )


def digests(contents: Sequence[bytes]) -> pa.Array:
    """Return digests of 16 bytes as a column."""
    return pa.Array.from_buffers(pa.binary(16), len(contents), [None, pa.py_buffer(b"".join(contents))])


def numbers(values: pa.ChunkedArray, dtype: str) -> NDArray[Any]:
    """Return a column of fixed width and without nulls as an array of ``dtype``; digests are of ``V16``."""
    kind = np.dtype(dtype)
    chunks = [
        np.frombuffer(chunk.buffers()[1], kind, len(chunk), chunk.offset * kind.itemsize)
        for chunk in values.chunks
        if len(chunk)
    ]
    return np.concatenate([np.empty(0, kind), *chunks])


def where_equal(values: pa.ChunkedArray, text: str) -> NDArray[np.bool_]:
    """Return where a column of texts has this one."""
    return numbers(pc.equal(values, strings([text.encode()])[0]).cast(pa.uint8()), "u1").astype(bool)


def read_columns(path: Path, *names: str) -> list[pa.ChunkedArray]:
    """Return columns of a Parquet file."""
    with pq.ParquetFile(path) as file:
        return file.read(columns=list(names)).select(list(names)).columns
