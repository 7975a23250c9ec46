"""One line per encoding, and panels side by side: code shared by several figures."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hope.reporting.figures.data import band
from hope.reporting.figures.legends import FEW
from hope.reporting.figures.limits import limits_of, mark_cuts
from hope.reporting.figures.style import new_figure
from hope.reporting.study_tables import ArmTables
from hope.reporting.summaries import baseline_of


def draw_lines(axes: Axes, tables: ArmTables, data: pd.DataFrame, x: str) -> None:
    """Draw one line per encoding, in the config's order; among many lines HoPE and its baseline are bold."""
    many = len(tables.encodings) > FEW
    compared = {"hope", baseline_of(tables.arm, "hope")}
    for encoding, rows in encoding_rows(tables, data, x):
        every = 0.09 if len(rows) > 12 else 1  # a share of the figure: even gaps on a logarithmic axis
        label = tables.label(encoding, int(rows["seeds"].max()))
        look: dict[str, Any] = {"markevery": every, "zorder": 4 if rows["low"].notna().any() else 3}
        if many and encoding in compared:
            look |= {"linewidth": 1.9, "zorder": 5}
        elif many:
            look |= {"linewidth": 1.1, "markersize": 3.8, "shade": 0.06}
        band(axes, rows[x], rows, tables.styles[encoding], label, **look)


def encoding_rows(tables: ArmTables, data: pd.DataFrame, x: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each encoding that has rows, in the config's order, with its rows sorted by ``x``."""
    for encoding in tables.encodings:
        rows = data[data["encoding"] == encoding].sort_values(x)
        if len(rows):
            yield encoding, rows


def show_most(axes: Axes, tables: ArmTables, data: pd.DataFrame, x: str) -> None:
    """Set the y limits to show every line and every band but those that would dwarf the rest, marked where cut.

    ``data`` and ``x`` are those of :func:`draw_lines`.
    """
    low, high = limits_of(data["estimate"], data["low"], data["high"])
    room = 0.06 * (high - low) or 0.1
    axes.set_ylim(low - room, high + room)
    for encoding, rows in encoding_rows(tables, data, x):
        mark_cuts(axes, "y", rows[x], rows["low"], rows["high"], tables.styles[encoding].color)


def panel_grid(
    count: int, across: int, panel: tuple[float, float], margin: tuple[float, float], **options: Any
) -> tuple[Figure, list[list[Axes]], list[Axes]]:
    """Return a figure of ``count`` panels, at most ``across`` side by side, its rows, and the panels in reading order.

    Width and height of a ``panel`` and of the ``margin`` around all panels are in inches. Unused axes of the last row
    are hidden.
    """
    columns = min(across, count)
    lines = math.ceil(count / columns)
    size = panel[0] * columns + margin[0], panel[1] * lines + margin[1]
    figure, rows = new_figure(*size, lines, columns, **options)
    panels = [axes for row in rows for axes in row]
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, rows, panels[:count]
