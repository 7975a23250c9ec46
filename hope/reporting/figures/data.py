"""A figure with its data, and a line with its interval."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hope.reporting.figures.style import EncodingStyle


class Drawing(NamedTuple):
    """A figure and the numbers that it shows, one row per mark."""

    figure: Figure
    data: pd.DataFrame


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
        axes: axes to draw on.
        x: x values.
        rows: columns estimate, low and high.
        style: style of the encoding.
        label: name in the legend.
        shade: opacity of the band.
        line: keywords of the line that replace those of the style.
    """
    axes.plot(np.asarray(x), rows["estimate"], label=label, **style.line(**line))
    if rows["low"].notna().any():
        axes.fill_between(
            np.asarray(x), rows["low"], rows["high"], color=style.color, alpha=shade, linewidth=0, zorder=1
        )
