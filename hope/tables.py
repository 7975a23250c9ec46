"""Write tables as Parquet: one row per observation, complete or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from hope.files import whole_file


def write_table(path: Path, columns: Mapping[str, Any], schema: Mapping[str, str] | None = None) -> None:
    """Write columns of equal length as a Parquet file, completely or not at all.

    Args:
        path: the file.
        columns: arrays or lists, by name.
        schema: Arrow type of each column by name; None takes the types of the arrays.
    """
    types = schema and pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in schema.items()])
    with whole_file(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(dict(columns), schema=types), temporary, compression="zstd")
