"""Measures of retrieval, by task and prompt length, and by depth where a task has depths.

Prompts of the same number at different depths are one unit: they differ in the depth and, where the answer would split
another needle, in the places of the other needles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hope.catalogue import is_custom
from hope.measures.measure import NATS, Endpoint, Listed, Settings, Source, measure

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from hope.config import Arm

RETRIEVAL = Source("evaluation", "retrieval", ("retrieval",))

PROMPTS: Settings = {"source": RETRIEVAL, "unit": "prompt", "better": "higher"}


def _by_task(table: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    for task in table["task"].unique():
        yield str(task), table[table["task"] == task]


def _by_depth(table: DataFrame) -> Iterator[tuple[float | None, DataFrame]]:
    yield None, table
    for depth, rows in table.groupby("depth"):  # without the rows that have no depth
        yield float(str(depth)), rows


def _depths(arm: Arm, endpoint: Endpoint) -> list[float]:
    assert endpoint.task is not None, "a depth is one of a task"
    definition = arm.tasks.task(endpoint.task)
    if is_custom(definition.task):  # Only its class knows them, so any depth may be one.
        return [] if endpoint.depth is None else [endpoint.depth]
    return list(definition.settings.get("depths") or [])


TASKS = Listed("retrieval.tasks", lambda arm, _: arm.retrieval.tasks, _by_task)
LENGTHS = Listed("retrieval.multiples", lambda arm, _: arm.retrieval.multiples)
DEPTHS = Listed("the depths of {task}", _depths, _by_depth, optional=True)


def _of_prompts(table: DataFrame, tokens: int, column: str) -> Series:
    """Return a column by prompt, for prompts of ``tokens`` tokens, mean over depths."""
    return table[table["length"] == tokens].groupby("example")[column].mean()


@measure(
    "{task} accuracy at {multiple}",
    scale="share of tokens",
    points=True,
    takes={"task": TASKS, "multiple": LENGTHS, "depth": DEPTHS},
    **PROMPTS,
)
def accuracy(table: DataFrame, length: int, multiple: float) -> Series:
    """Teacher-forced token accuracy at one prompt length."""
    return _of_prompts(table, round(multiple * length), "accuracy")


@measure(
    "{task} exact match at {multiple}",
    scale="share of prompts",
    points=True,
    takes={"task": TASKS, "multiple": LENGTHS, "depth": DEPTHS},
    **PROMPTS,
)
def exact(table: DataFrame, length: int, multiple: float) -> Series:
    """Exact match at one prompt length."""
    return _of_prompts(table, round(multiple * length), "exact")


@measure(
    "{task} margin at {multiple}", scale=NATS, takes={"task": TASKS, "multiple": LENGTHS}, compared=False, **PROMPTS
)
def margin(table: DataFrame, length: int, multiple: float) -> Series:
    """Log-probability of the right answer minus that of the best other candidate."""
    return _of_prompts(table, round(multiple * length), "margin")
