"""Drawing the figures of a study, and writing them with their data and captions."""

from importlib import import_module
from pathlib import Path, PurePosixPath

import pandas as pd

from hope.files import whole_file, write_text
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import declared_figures, figure_named
from hope.reporting.figures.files import save
from hope.reporting.figures.style import MUTED, new_figure, paper_style
from hope.reporting.study_tables import StudyTables


def draw_one(tables: StudyTables, name: str) -> Drawing:
    """Return one figure; where the study has no data for it, a figure that says so and an empty table."""
    declared = figure_named(name)
    with paper_style():
        if all(_has_rows(tables, table) for table in declared.needs):
            module = import_module(f"hope.reporting.figures.{declared.module}")
            drawing: Drawing | None = getattr(module, name)(tables)
            if drawing is not None:
                return drawing
        figure, ((axes,),) = new_figure(6.0, 1.2)
        axes.set_axis_off()
        words = f"{declared.title}: this study has no data for it"
        axes.text(0.5, 0.5, words, ha="center", va="center", color=MUTED, transform=axes.transAxes)
        return Drawing(figure, pd.DataFrame())


def _has_rows(tables: StudyTables, table: str) -> bool:
    """Return whether a study has a table, as ``needs`` of a declaration names it, with rows in it."""
    path = PurePosixPath(table)
    match path.parent.name:
        case "model" | "analysis" | "evaluation":
            return not tables.read(path.stem).empty
        case "theory":
            return not tables.theory(path.stem).empty
        case "tables" | "":
            return (tables.paths.root / path).exists()
    raise ValueError(f"'{table}': a study has no such room")


def draw(study: Path) -> None:
    """Write ``figures/<name>.svg``, ``.png``, ``.csv`` and ``.rst``, its caption, for each figure of ``study``.

    Raises:
        UserError: ``study`` holds no study.
    """
    tables = StudyTables(study)
    for declared in declared_figures():
        write_figure(draw_one(tables, declared.name), tables.paths.figures / declared.name)
        write_text(tables.paths.figures / f"{declared.name}.rst", declared.caption)


def write_figure(drawing: Drawing, target: Path) -> None:
    """Write a figure's pictures and its data as CSV; ``target`` is their path without suffix."""
    save(drawing.figure, target)
    with whole_file(target.with_name(f"{target.name}.csv")) as temporary:
        drawing.data.to_csv(temporary, index=False, float_format="%.8g")
