"""The names of lines: in a legend over a figure of few lines, at the ends of many lines."""

import math
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
"""Width of a column of names, in inches."""


def add_legend(figure: Figure) -> None:
    """Put one legend of the labelled marks of all axes over the figure.

    More than :data:`FEW` entries stand in columns on the right instead; the figure is widened for them.
    """
    entries: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    content = (list(entries.values()), list(entries))
    if len(entries) > FEW:
        columns = math.ceil(len(entries) * _LINE * 1.15 / (figure.get_figheight() - 0.3))
        figure.set_figwidth(figure.get_figwidth() + columns * _COLUMN)
        figure.legend(*content, loc="outside right upper", ncols=columns, columnspacing=1.2, fontsize=8.5)
        return
    for rows in range(1, len(entries) + 1):
        columns = math.ceil(len(entries) / rows)  # letters are a little wider at another resolution
        legend = figure.legend(*content, loc="outside upper left", ncols=columns, columnspacing=1.4)
        if columns == 1 or legend.get_window_extent().width < 0.92 * figure.bbox.width:
            return
        legend.remove()


def name_lines(figure: Figure, panels: Sequence[Axes], few: int = FEW) -> None:
    """Name the lines of panels, which end on the right and whose limits are set.

    Up to ``few`` lines get a legend over the figure. Otherwise each line is named at its end, on the right of its
    panel; names that would overlap are moved apart, and the figure is widened for them.
    """
    most = max(len(axes.get_legend_handles_labels()[0]) for axes in panels)
    if most <= few:
        add_legend(figure)
        return
    figure.set_figwidth(figure.get_figwidth() + _COLUMN)
    heights = _heights(figure, panels)
    if (missing := most * _LINE - min(heights)) > 0:
        figure.set_figheight(figure.get_figheight() + missing * len(panels))
        heights = _heights(figure, panels)
    for axes, height in zip(panels, heights, strict=True):
        _name_ends(axes, _LINE / height)


def _heights(figure: Figure, panels: Sequence[Axes]) -> list[float]:
    """Return the heights of panels in the layout, in inches."""
    figure.draw_without_rendering()
    return [axes.get_window_extent().height / figure.dpi for axes in panels]


def _name_ends(axes: Axes, gap: float) -> None:
    """Write each line's name beside its end, at least ``gap`` heights of the panel apart."""
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
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
        axes.text(1.115, place, label, transform=axes.transAxes, va="center", fontsize=8.5, color=INK)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return places from 0 to 1, at least ``gap`` apart, that are nearest to the rising ``wanted`` in least squares.

    If there is no room for all of them, the last lie past 1.
    """
    gaps = gap * np.arange(len(wanted))
    # Minus the gaps before them, places need only be non-decreasing: isotonic regression.
    level = isotonic_regression(wanted - gaps).x
    return (np.clip(level, 0.0, max(0.0, 1 - gaps[-1])) + gaps).tolist()
