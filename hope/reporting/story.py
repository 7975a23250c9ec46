"""The paragraph that opens the report: its arms, tasks and numbers."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from hope.measures import Endpoint, length_name
from hope.measures.learning import LEARNED
from hope.reporting.estimates import Cell
from hope.reporting.study_tables import ArmTables, StudyTables
from hope.reporting.summaries import baseline_of

MOST_TASKS = 3
"""Most tasks shown: with the loss they fill four panels."""
FAR = 4.0
"""The paragraph compares at this many training lengths, or at the most below it that the study has."""
ENCODING = "hope"


def retrieval_arm(tables: StudyTables) -> ArmTables | None:
    """Return the arm whose retrieval is shown: the first with scores, arms trained on tasks alone first."""
    arms = sorted(tables.arms.values(), key=lambda arm: arm.arm.reads_text)
    return next((arm for arm in arms if not arm.read("retrieval").empty), None)


def loss_arm(tables: StudyTables) -> ArmTables | None:
    """Return the arm whose loss is shown: the first that has one."""
    return next((arm for arm in tables.arms.values() if not arm.read("extrapolation").empty), None)


def told_tasks(tables: ArmTables) -> list[str]:
    """Return the tasks shown: those trained under their own name, or else the first of all."""
    trained = [task for task in tables.arm.retrieval.tasks if task in tables.arm.trained_tasks]
    return (trained or tables.arm.retrieval.tasks)[:MOST_TASKS]


def _told(tables: StudyTables) -> Iterator[tuple[ArmTables, str]]:
    """Yield each task shown, with its arm."""
    if arm := retrieval_arm(tables):
        for task in told_tasks(arm):
            yield arm, task


def story(tables: StudyTables) -> list[dict[str, Any]]:
    """Return the numbers of the paragraph, one entry per comparison of HoPE with its baseline past L.

    Each has ``measure`` (``accuracy`` or ``octave_loss``), ``task``, ``where`` (such as ``4L``), ``encoding`` and
    ``baseline`` with their means ``own`` and ``other``, and ``estimate``, ``low``, ``high``: the paired difference,
    its ends None for a single seed. Comparisons that the study lacks are left out.
    """
    entries = [entry for arm, task in _told(tables) for entry in _compared(arm, "accuracy", task)]
    loss = loss_arm(tables)
    return entries + (_compared(loss, "octave_loss") if loss else [])


def not_learned(tables: StudyTables) -> list[dict[str, Any]]:
    """Return the models that did not learn a task shown: less than :data:`LEARNED` of the answers right at L.

    One entry per task and encoding: ``task``, ``encoding``, the ``seeds`` concerned and ``of``, the number of all.
    """
    entries = []
    for arm, task in _told(tables):
        for encoding in arm.encodings:
            answers = arm.observations.matrix(Cell(encoding, Endpoint("accuracy", task=task, multiple=1.0)))
            right = answers.mean(axis="columns")
            seeds = [int(seed) for seed in right.index[right < LEARNED]]
            if seeds:
                entries.append({"task": task, "encoding": encoding, "seeds": seeds, "of": len(right)})
    return entries


def _compared(tables: ArmTables, measure: str, task: str | None = None) -> list[dict[str, Any]]:
    """Return the comparison of one measure at the far length, if the study has it."""
    rows = tables.summary("comparisons")
    if rows.empty or ENCODING not in tables.encodings:
        return []
    baseline = baseline_of(tables.arm, ENCODING)
    rows = rows[
        (rows["measure"] == measure) & (rows["encoding"] == ENCODING) & (rows["baseline"] == baseline)
        & rows["depth"].isna() & rows["extension"].isna() & (rows["multiple"] > 1) & (rows["multiple"] <= FAR)
    ]  # fmt: skip
    if task is not None:
        rows = rows[rows["task"] == task]
    if rows.empty or baseline is None:
        return []
    row = rows.sort_values("multiple").iloc[-1]
    endpoint = Endpoint.of(row.to_dict())
    difference = tables.observations.difference(Cell(ENCODING, endpoint), Cell(baseline, endpoint))
    assert difference is not None, "the table has this comparison"
    return [
        {
            "measure": measure,
            "task": task,
            "where": length_name(row["multiple"]),
            "before": length_name(row["multiple"] / 2),
            "encoding": ENCODING,
            "baseline": baseline,
            "own": difference.treatment,
            "other": difference.baseline,
            "estimate": float(row["estimate"]),
            "low": None if pd.isna(row["low"]) else float(row["low"]),
            "high": None if pd.isna(row["high"]) else float(row["high"]),
        }
    ]
