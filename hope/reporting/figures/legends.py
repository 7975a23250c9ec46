"""The names of lines: in a legend over a figure of few lines, at the ends of many lines."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from hope.reporting.figures.style import INK, MUTED

FEW = 6
"""Up to this many lines are named in a legend over the figure."""
_LINE = 0.165
"""Distance between names below each other, in inches."""
_COLUMN = 1.75
"""Least room for names at the ends of lines, in inches."""
_ROWS = 0.5
"""Height of a legend of two rows, in inches; a figure grows by what its legend has above that."""
_WIDEST = 28
"""Most characters in a line of a legend's name."""
_SMALL: dict[str, Any] = {"fontsize": 8.5}


def broken(name: str, widest: int) -> str:
    """Return a name with line breaks, after hyphens, underscores and spaces if it can be, at most ``widest`` wide."""
    lines = [""]
    for piece in re.findall(rf"[^-_ ]{{0,{widest - 1}}}[-_ ]|[^-_ ]{{1,{widest}}}", name):
        if len((lines[-1] + piece).rstrip()) > widest:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def add_legend(figure: Figure) -> None:
    """Put one legend of the labelled marks of all axes over the figure.

    More than :data:`FEW` entries stand in columns on the right instead. The figure grows by the size of the legend, so
    that long names take no room from the panels.
    """
    entries: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    content = (list(entries.values()), [broken(name, _WIDEST) for name in entries])
    if len(entries) > FEW:
        for columns in range(1, len(entries) + 1):
            legend = figure.legend(*content, loc="outside right upper", ncols=columns, columnspacing=1.2, **_SMALL)
            width, height = _inches(figure, legend)
            if columns == len(entries) or height < figure.get_figheight() - 0.3:
                break
            legend.remove()
        figure.set_figwidth(figure.get_figwidth() + width)
        return
    for rows in range(1, len(entries) + 1):
        columns = math.ceil(len(entries) / rows)
        legend = figure.legend(*content, loc="outside upper left", ncols=columns, columnspacing=1.4)
        width, height = _inches(figure, legend)
        if columns == 1 or width < 0.96 * figure.get_figwidth():
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + max(0.0, height - _ROWS))


def name_lines(figure: Figure, panels: Sequence[Axes], few: int = FEW) -> None:
    """Name the lines of panels, which end on the right and whose limits are set.

    Up to ``few`` lines get a legend over the figure. Otherwise each line is named at its end, on the right of its
    panel; names that would overlap are moved apart, and the figure is widened for them.
    """
    most = max(len(axes.get_legend_handles_labels()[0]) for axes in panels)
    if most <= few:
        add_legend(figure)
        return
    names = {str(line.get_label()) for axes in panels for line in _named(axes)}
    figure.set_figwidth(figure.get_figwidth() + max(_COLUMN, 0.9 + max(_width(figure, name) for name in names)))
    heights = _heights(figure, panels)
    if (missing := most * _LINE - min(heights)) > 0:
        figure.set_figheight(figure.get_figheight() + missing * len(panels))
        heights = _heights(figure, panels)
    for axes, height in zip(panels, heights, strict=True):
        _name_ends(axes, _LINE / height)


def _inches(figure: Figure, drawn: Artist) -> tuple[float, float]:
    """Return width and height, in inches, with some room: letters are a little wider at another resolution."""
    extent = drawn.get_window_extent()
    return 1.04 * extent.width / figure.dpi, extent.height / figure.dpi


def _width(figure: Figure, name: str) -> float:
    """Return the width of a name at the end of a line, in inches."""
    text = figure.text(0, 0, name, **_SMALL)
    width, _ = _inches(figure, text)
    text.remove()
    return width


def _named(axes: Axes) -> list[Line2D]:
    """Return the lines that have a name."""
    return [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]


def _heights(figure: Figure, panels: Sequence[Axes]) -> list[float]:
    """Return the heights of panels in the layout, in inches."""
    figure.draw_without_rendering()
    return [axes.get_window_extent().height / figure.dpi for axes in panels]


def _name_ends(axes: Axes, gap: float) -> None:
    """Write each line's name beside its end, at least ``gap`` heights of the panel apart."""
    lines = _named(axes)
    to_panel = (axes.transData - axes.transAxes).transform
    ends = [to_panel(line.get_xydata()[-1]) for line in lines]  # type: ignore[index]
    farthest = max(end[0] for end in ends)
    # Ends that differ by rounding alone keep the order of their lines, on every machine.
    order = sorted(range(len(lines)), key=lambda at: round(float(ends[at][1]), 3))
    places = spread([float(ends[at][1]) for at in order], gap)
    for at, place in zip(order, places, strict=True):
        line, (x, y) = lines[at], ends[at]
        outside: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
        if x > farthest - 0.02:  # no leader to a line that ends earlier
            axes.add_line(Line2D([x, 1.0, 1.03], [y, y, place], color=MUTED, linewidth=0.5, **outside))
        sample = Line2D([1.04, 1.07, 1.10], [place] * 3, markevery=[1], **outside)
        sample.update_from(line)
        sample.set(markevery=[1], **outside)
        axes.add_line(sample)
        label = str(line.get_label())
        axes.text(1.115, place, label, transform=axes.transAxes, va="center", color=INK, **_SMALL)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places from 0 to 1, at least ``gap`` apart, that are nearest to the rising ``wanted`` in least squares.

    If there is no room for all of them, the last lie past 1.
    """
    gaps = gap * np.arange(len(wanted))
    # Minus the gaps before them, places need only be non-decreasing: isotonic regression.
    level = isotonic_regression(wanted - gaps).x
    return (np.clip(level, 0.0, max(0.0, 1 - gaps[-1])) + gaps).tolist()
