"""What figures are made of: a drawing with its numbers, and a line with its interval."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hope.reporting.figures.style import EncodingStyle
from hope.reporting.study_tables import StudyTables


class Drawing(NamedTuple):
    """A figure and the numbers in it, one row a mark."""

    figure: Figure
    data: pd.DataFrame


@dataclass(frozen=True)
class FigureKind:
    """One figure of the report.

    Attributes:
        name: the files' name.
        title: the figure's title on the page.
        look: what to look at, in a sentence or two.
        alt: what a reader who cannot see it is told.
        draw: makes it; None where the study has no data for it.
    """

    name: str
    title: str
    look: str
    alt: str
    draw: Callable[[StudyTables], Drawing | None]


def band(
    axes: Axes,
    x: Iterable[float],
    rows: pd.DataFrame,
    style: EncodingStyle,
    label: str | None,
    shade: float = 0.16,
    **line: Any,
) -> None:
    """Draw estimates as a line with markers, and their interval as a band where there is one.

    Args:
        axes: where.
        x: abscissas.
        rows: columns estimate, low and high.
        style: the encoding's.
        label: name in the legend.
        shade: opacity of the band.
        line: keywords of the line that differ from the style's.
    """
    axes.plot(np.asarray(x), rows["estimate"], label=label, **style.line(**line))
    if rows["low"].notna().any():
        axes.fill_between(
            np.asarray(x), rows["low"], rows["high"], color=style.color, alpha=shade, linewidth=0, zorder=1
        )
