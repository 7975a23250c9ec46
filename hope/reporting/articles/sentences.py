"""What the findings share: one estimate from a table, and how it is said."""

import pandas as pd

from hope.reporting import words
from hope.reporting.estimates import summarize
from hope.reporting.study_tables import ArmTables


def estimate(tables: ArmTables, frame: pd.DataFrame, value: str, minus: pd.DataFrame | None = None) -> pd.Series:
    """Return the mean of ``value`` over one encoding's seeds and documents, with its interval.

    Args:
        tables: of the study.
        frame: rows of one encoding, a ``document`` in each.
        value: the column.
        minus: rows that are subtracted, paired by seed and document.

    Returns:
        A row of :func:`hope.reporting.figures.data.summarize`; its limits are NaN where there is a single seed.
    """
    return summarize(frame, ["encoding"], value, "document", tables.confidence, minus).iloc[0]


def said(row: pd.Series) -> str:
    """Return an estimate with its interval, where it has one."""
    limits = words.interval(row["low"], row["high"], row["estimate"])
    return f"{words.signed(row['estimate'])} {limits}".strip()


def present(tables: ArmTables, frame: pd.DataFrame) -> list[str]:
    """Return the encodings that a table has rows of, in the study's order."""
    return [name for name in tables.encodings if len(frame) and name in set(frame["encoding"])]
