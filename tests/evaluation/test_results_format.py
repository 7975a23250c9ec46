"""The documented columns of this room's tables are the ones that are written."""

import re
from pathlib import Path

from hope.evaluation.extrapolation import CONTEXT_SCHEMA, POSITION_SCHEMA, STRIDED_SCHEMA
from hope.evaluation.retrieval import PROMPT_SCHEMA

DOCUMENT = Path(__file__).parents[2] / "docs" / "results-format.md"


def documented(table: str) -> dict[str, str]:
    """Return the type of each column that the section of ``table`` lists, in order."""
    section = DOCUMENT.read_text(encoding="utf-8").split(f"\n### `{table}`\n")[1].split("\n##")[0]
    rows = re.findall(r"^\| (`[^|]*) \| (\w+) \|", section, flags=re.MULTILINE)
    return {name: kind for names, kind in rows for name in re.findall(r"`(\w+)`", names)}


def test_documented_columns_are_written() -> None:
    for table, schema in (
        ("extrapolation", POSITION_SCHEMA),
        ("context", CONTEXT_SCHEMA),
        ("strided", STRIDED_SCHEMA),
        ("retrieval", PROMPT_SCHEMA),
    ):
        assert list(documented(f"{table}.parquet").items()) == list(schema.items())
