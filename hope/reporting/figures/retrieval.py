"""Figures of retrieval: accuracy by prompt length, and by the depth of the answer in the prompt."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import FuncFormatter

from hope.measures import length_name
from hope.reporting.estimates import SHARE, summarize
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import add_legend, broken
from hope.reporting.figures.lines import draw_lines, panel_grid
from hope.reporting.figures.style import INK, MUTED, length_axis, new_figure
from hope.reporting.study_tables import ArmTables

_ACROSS = 5
"""Most panels side by side."""
_NARROWEST = 5.0
"""Width in inches that the axis label of a single panel needs."""
_TITLE = 18
"""Most characters in a line of a panel's title."""
_COLORS = "cividis"
"""Perceptually uniform, so that it reads the same in grey and for any colour vision."""


@figure(
    title="Retrieval",
    look=(
        "Share of right answer tokens, each predicted from the right tokens before it. The dotted line is chance: a "
        "guess among the task's candidates. Trained tasks were part of training up to L, with other prompts."
    ),
    alt="Accuracy of retrieval tasks by prompt length, one panel per task, one line per encoding, with chance.",
    needs=("evaluation/retrieval.parquet",),
)
def retrieval(tables: ArmTables) -> Drawing | None:
    """Draw token accuracy by prompt length, one panel per task, with the chance level.

    Data, one row per task, encoding and prompt length: ``length_in_lengths``, ``task``, ``trained``, ``encoding``,
    ``length`` (tokens), ``estimate`` (share of right answer tokens), ``low``, ``high``, ``seeds``, ``units``
    (prompts), ``chance``.
    """
    data = accuracy_by_length(tables)
    tasks = [task for task in tables.arm.retrieval.tasks if task in set(data["task"])]
    figure, rows, panels = panel_grid(len(tasks), 2, panel=(2.0, 3.3), margin=(3.6, 0.4), sharey=True)
    for axes, task in zip(panels, tasks, strict=True):
        draw_accuracy(axes, tables, data[data["task"] == task])
    for row in rows:
        row[0].set_ylabel("answer tokens right")
    add_legend(figure)
    return Drawing(figure, data)


@figure(
    title="Retrieval by length and depth",
    look=(
        "Percent of right answer tokens by the depth of the answer: 0 is the beginning of the prompt, 1 is right "
        "before the question. The arrow at the scale is chance: a guess among the task's candidates. A cell is "
        "empty if the encoding has no positions for it."
    ),
    alt="Heatmaps of accuracy over prompt length and depth, one panel per encoding, one row of panels per task.",
    needs=("evaluation/retrieval.parquet",),
)
def retrieval_depth(tables: ArmTables) -> Drawing | None:
    """Draw token accuracy over prompt length and depth, one row of panels per task and one panel per encoding.

    Cells are means over seeds and prompts. None if no task of the study has depths.

    Data, one row per cell: ``task``, ``trained``, ``encoding``, ``length`` (tokens), ``length_in_lengths``, ``depth``,
    ``accuracy``, ``low``, ``high``, ``seeds``, ``prompts``, ``chance``.
    """
    frame = tables.read("retrieval").dropna(subset="depth")
    if frame.empty:
        return None
    data = _accuracies(frame, tables, ["task", "trained", "encoding", "length", "depth"])
    data = data.rename(columns={"estimate": "accuracy", "units": "prompts"})
    data.insert(4, "length_in_lengths", data["length"] / tables.length)
    tasks = [task for task in tables.arm.retrieval.tasks if task in set(data["task"])]
    encodings = [name for name in tables.encodings if name in set(data["encoding"])]
    columns = min(_ACROSS, len(encodings))
    lines = math.ceil(len(encodings) / columns)
    depths = max(data.groupby("task")["depth"].nunique())
    height = len(tasks) * lines * (0.15 * depths + 0.75) + 0.6
    figure, rows = new_figure(max(_NARROWEST, 1.1 + 1.75 * columns), height, len(tasks) * lines, columns)
    for number, task in enumerate(tasks):
        grid = [axes for row in rows[number * lines : (number + 1) * lines] for axes in row]
        for axes, encoding in zip(grid, encodings, strict=False):
            own = data[(data["task"] == task) & (data["encoding"] == encoding)]
            _heatmap(axes, own, tables.length)
            above = "\n" if axes in grid[:columns] else ""  # room for the task's line
            axes.set_title(above + broken(tables.label(encoding), _TITLE), fontsize=9)
        for axes in grid[len(encodings) :]:
            axes.set_axis_off()
        for row in rows[number * lines : (number + 1) * lines]:
            row[0].set_ylabel("depth")
        most = max(axes.get_title("left").count("\n") for axes in grid[: min(columns, len(encodings))])
        rise = (0.0, 5.0 + 12.0 * most)  # points above the panel
        grid[0].annotate(
            _words(task, data), (0, 1), rise, "axes fraction", "offset points", fontsize=9, in_layout=False
        )  # fmt: skip
    scale = ScalarMappable(Normalize(0.0, 1.0), _COLORS)
    bar = figure.colorbar(scale, ax=rows[0], shrink=0.9, aspect=14)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    bar.set_label("answer tokens right")
    for chance in sorted(set(data["chance"].round(6))):
        bar.ax.axhline(chance, color="white", linewidth=1.4)
        bar.ax.plot([-0.25], [chance], marker=">", color=INK, markersize=5, clip_on=False)
    figure.supxlabel("prompt length, in training lengths L; right of the line longer than in training", fontsize=9)
    return Drawing(figure, data)


def accuracy_by_length(tables: ArmTables) -> pd.DataFrame:
    """Return the accuracy and chance by task, encoding and prompt length, all depths together."""
    data = _accuracies(tables.read("retrieval"), tables, ["task", "trained", "encoding", "length"])
    data.insert(0, "length_in_lengths", data["length"] / tables.length)
    return data


def draw_accuracy(axes: Axes, tables: ArmTables, drawn: pd.DataFrame) -> None:
    """Draw the accuracy of one task over prompt length, with the chance level and the task's name as title."""
    draw_lines(axes, tables, drawn, "length_in_lengths")
    level = drawn.drop_duplicates("length").sort_values("length")
    look: dict[str, Any] = {"color": MUTED, "linestyle": (0, (1, 1)), "linewidth": 1.3, "label": "chance"}
    axes.plot(level["length_in_lengths"], level["chance"], **look)
    axes.set_title(broken(f"{drawn['task'].iloc[0]} ({_trained(drawn)})", 24))
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    length_axis(axes, drawn["length_in_lengths"], "prompt length, in training lengths L")


def _accuracies(frame: pd.DataFrame, tables: ArmTables, by: list[str]) -> pd.DataFrame:
    """Return the accuracy of each cell of ``by`` with its interval, and chance at its task and length."""
    data = summarize(frame, by, "accuracy", "example", tables.confidence, bounds=SHARE)
    chance = frame.groupby(["task", "length"])["chance"].mean().reset_index()
    return data.merge(chance, on=["task", "length"])


def _words(task: str, data: pd.DataFrame) -> str:
    """Return a task's name, whether it was trained, its chance level and number of prompts."""
    own = data[data["task"] == task]
    return f"{task}: {_trained(own)}, chance {own['chance'].mean():.2g}, {own['prompts'].max()} prompts per cell"


def _trained(rows: pd.DataFrame) -> str:
    """Return whether the models of these rows were trained on the task."""
    return {(True,): "trained", (False,): "untrained"}.get(tuple(sorted(set(rows["trained"]))), "trained in some")


def _heatmap(axes: Axes, own: pd.DataFrame, length: int) -> None:
    """Draw one panel, each cell with its percentage."""
    table = own.pivot(index="depth", columns="length", values="accuracy")
    axes.imshow(table.to_numpy(), cmap=_COLORS, vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if np.isfinite(value):
            color = "white" if value < 0.55 else "black"
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=6.5, color=color)
    multiples = [int(str(tokens)) / length for tokens in table.columns]
    axes.set_xticks(range(len(multiples)), [length_name(multiple) for multiple in multiples], fontsize=7.5)
    axes.set_yticks(range(table.shape[0]), [f"{depth:g}" for depth in table.index], fontsize=7)
    axes.grid(visible=False)
    within = sum(multiple <= 1 for multiple in multiples)
    if 0 < within < len(multiples):
        axes.axvline(within - 0.5, color="white", linewidth=2.0)
        axes.axvline(within - 0.5, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
