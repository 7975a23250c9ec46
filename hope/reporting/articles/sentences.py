"""An estimate from a table, and its text: code shared by the findings."""

import pandas as pd

from hope import words
from hope.reporting.estimates import summarize
from hope.reporting.study_tables import ArmTables


def estimate(tables: ArmTables, frame: pd.DataFrame, value: str, minus: pd.DataFrame | None = None) -> pd.Series:
    """Return the mean of ``value`` over one encoding's seeds and documents, with its interval.

    Args:
        tables: tables of the arm.
        frame: rows of one encoding, with columns ``seed`` and ``document``.
        value: column to average.
        minus: rows to subtract, paired by seed and document.

    Returns:
        A row of :func:`hope.reporting.estimates.summarize`; its limits are NaN for a single seed.
    """
    return summarize(frame, ["encoding"], value, "document", tables.confidence, minus).iloc[0]


def said(row: pd.Series) -> str:
    """Return an estimate with its interval, if it has one."""
    limits = words.interval(row["low"], row["high"], row["estimate"])
    return f"{words.signed(row['estimate'])} {limits}".strip()


def present(tables: ArmTables, frame: pd.DataFrame) -> list[str]:
    """Return the encodings that a table has rows of, in the study's order."""
    return [name for name in tables.encodings if len(frame) and name in set(frame["encoding"])]
