"""An estimate from a table, and its text: code shared by the findings."""

from collections.abc import Iterator

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


def by_encoding(tables: ArmTables, frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the encodings that a table has rows of, in the study's order, each with its rows."""
    for name in tables.encodings if len(frame) else []:
        own = frame[frame["encoding"] == name]
        if len(own):
            yield name, own
