"""Draw the figures of a study and write them with their data and captions."""

from importlib import import_module
from pathlib import Path, PurePosixPath

import pandas as pd

from hope.files import whole_file, write_text
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure_named, study_figures
from hope.reporting.figures.files import save
from hope.reporting.figures.style import MUTED, new_figure, paper_style
from hope.reporting.study_tables import ArmTables, StudyTables


def draw_one(tables: StudyTables | ArmTables, name: str) -> Drawing:
    """Return one figure; without data for it, a figure that reports this and an empty table.

    Args:
        tables: an arm of a study, or the study for a figure across arms.
        name: name of the figure.
    """
    declared = figure_named(name)
    with paper_style():
        if all(_has_rows(tables, table) for table in declared.needs):
            module = import_module(f"hope.reporting.figures.{declared.module}")
            drawing: Drawing | None = getattr(module, name)(tables)
            if drawing is not None:
                return drawing
        figure, ((axes,),) = new_figure(6.0, 1.2)
        axes.set_axis_off()
        words = f"{declared.title}: there are no data for it"
        axes.text(0.5, 0.5, words, ha="center", va="center", color=MUTED, transform=axes.transAxes)
        return Drawing(figure, pd.DataFrame())


def _has_rows(tables: StudyTables | ArmTables, table: str) -> bool:
    """Return whether the study has a table, named as in ``needs`` of a declaration, with rows in it."""
    path = PurePosixPath(table)
    if path.parent.name in ("tables", ""):
        return (tables.paths.root / path).exists()
    if isinstance(tables, StudyTables):
        return any(_has_rows(arm, table) for arm in tables.arms.values())
    if path.parent.name == "data":
        return not tables.documents.empty
    rows = tables.theory(path.stem) if path.parent.name == "theory" else tables.read(path.stem)
    return not rows.empty


def draw(study: Path) -> None:
    """Write ``.svg``, ``.png``, ``.csv`` (data) and ``.rst`` (caption) of each figure under ``figures/`` of ``study``.

    Figures of an arm lie in its folder, figures across arms beside the folders.

    Raises:
        UserError: ``study`` holds no study.
    """
    tables = StudyTables(study)
    for declared, arm in study_figures(tables.study):
        folder = tables.arms[arm].figures if arm else tables.paths.figures
        write_figure(draw_one(tables.arms[arm] if arm else tables, declared.name), folder / declared.name)
        write_text(folder / f"{declared.name}.rst", declared.caption)


def write_figure(drawing: Drawing, target: Path) -> None:
    """Write a figure as SVG and PNG and its data as CSV; ``target`` is their path without suffix."""
    save(drawing.figure, target)
    with whole_file(target.with_name(f"{target.name}.csv")) as temporary:
        drawing.data.to_csv(temporary, index=False, float_format="%.8g")
