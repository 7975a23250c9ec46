"""The figure that opens the report: retrieval accuracy and loss, within L and past it."""

import pandas as pd

from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.lines import draw_lines, panel_grid, show_most
from hope.reporting.figures.loss import losses_by_position
from hope.reporting.figures.retrieval import accuracy_by_length, draw_accuracy
from hope.reporting.figures.style import length_axis
from hope.reporting.story import loss_arm, retrieval_arm, told_tasks
from hope.reporting.study_tables import StudyTables


@figure(
    title="Within the training length and past it",
    look=(
        "Past L (shaded) the prompts and windows are longer than any in training. Panels of a task show the share of "
        "right answers, and whether the task was part of training; for the loss, lower is better. If the panels are of "
        "different groups of models, each names its arm. Very wide intervals are cut, and marked there."
    ),
    alt="Accuracy of retrieval tasks by prompt length and loss by position, one line per encoding.",
    needs=(),
    across=True,
)
def story(tables: StudyTables) -> Drawing | None:
    """Draw accuracy by prompt length for a few tasks, and the loss by position beside them.

    Data, one row per encoding and point: ``arm``, ``measure`` (accuracy or loss), ``encoding``, ``estimate``, ``low``,
    ``high``, ``seeds``, ``units``; for accuracy ``task``, ``trained``, ``length`` (tokens), ``length_in_lengths`` and
    ``chance``; for the loss ``position`` (middle of the bin, in L), ``start`` and ``end`` (tokens).
    """
    retrieval, loss = retrieval_arm(tables), loss_arm(tables)
    tasks = told_tasks(retrieval) if retrieval else []
    count = len(tasks) + bool(loss)
    if not count:
        return None
    figure, _, panels = panel_grid(count, 2, panel=(3.8, 2.5), margin=(0.2, 0.5))
    mixed = bool(retrieval and tasks and loss and retrieval.name != loss.name)
    parts = []
    if retrieval and tasks:
        accuracies = accuracy_by_length(retrieval)
        for axes, task in zip(panels, tasks, strict=False):
            drawn = accuracies[accuracies["task"] == task]
            draw_accuracy(axes, retrieval, drawn)
            axes.set_title(axes.get_title("left") + (f", arm {retrieval.name}" if mixed else ""))
            axes.set_ylabel("answers right")
            parts.append(drawn.assign(arm=retrieval.name, measure="accuracy"))
    if loss:
        losses = losses_by_position(loss)
        draw_lines(panels[-1], loss, losses, "position")
        show_most(panels[-1], loss, losses, "position")
        panels[-1].set_title("loss on text" + (f", arm {loss.name}" if mixed else ""))
        panels[-1].set_ylabel("loss (nats/token)")
        length_axis(panels[-1], losses["position"], "position in the window, in training lengths L")
        parts.append(losses.assign(arm=loss.name, measure="loss"))
    add_legend(figure)
    return Drawing(figure, pd.concat(parts, ignore_index=True))
