"""The figure of activated components: which they are, where they lie against 2 pi / L, and by which threshold."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hope.reporting.figures.data import Drawing
from hope.reporting.figures.rotary import component_ticks, cutoff
from hope.reporting.figures.style import INK, MUTED, new_figure
from hope.reporting.study_tables import StudyTables

_ALL_LAYERS = -1
_ACROSS = 3
"""Encodings side by side in one row."""


def activation(tables: StudyTables) -> Drawing | None:
    """Draw which components count as activated: layer by layer, and over all layers by other thresholds.

    The area of a mark is the share of the seeds whose models activate the component.
    """
    frame = tables.read("activation")
    if frame.empty:
        return None
    by = ["encoding", "rule", "threshold", "layer", "component"]
    data = frame.groupby(by).agg(turns=("turns", "first"), activated=("activated", "mean"), seeds=("seed", "nunique"))
    data = data.reset_index()
    own = np.isclose(data["threshold"], tables.study.analysis.active_share) & (data["rule"] == "share")
    data["line"] = np.where(own & (data["layer"] >= 0), "layer", np.where(data["layer"] == _ALL_LAYERS, "all", ""))
    data = data[data["line"] != ""].assign(own=own)
    present = [name for name in tables.rotary() if name in set(data["encoding"])]
    names = _lines(data)
    columns = min(len(present), _ACROSS)
    lines = -(-len(present) // columns)
    size = 3.6 * columns + 1.5, (0.22 * len(names) + 1.1) * lines
    figure, rows = new_figure(*size, lines, columns, sharey=True)
    panels = [axes for row in rows for axes in row]
    for axes, encoding in zip(panels, present, strict=False):
        _panel(axes, tables, encoding, data[data["encoding"] == encoding], names)
    for axes in panels[len(present) :]:
        axes.set_visible(False)
    return Drawing(figure, data.drop(columns="line"))


def _lines(data: pd.DataFrame) -> dict[tuple[str, float, int], str]:
    """Return the lines of a panel from the top: rule, threshold and layer, and what is written beside them."""
    first = data[data["encoding"] == data["encoding"].iloc[0]].drop_duplicates(["rule", "threshold", "layer"])
    names: dict[tuple[str, float, int], str] = {}
    for row in first.sort_values(["layer", "threshold"]).to_dict("records"):
        key = row["rule"], row["threshold"], row["layer"]
        if row["layer"] != _ALL_LAYERS:
            names[key] = f"layer {row['layer'] + 1}"
        elif row["rule"] == "share":
            names[key] = f"largest {100 * row['threshold']:.3g}%" + (" (chosen)" if row["own"] else "")
        else:
            names[key] = f"spread ≥ {row['threshold']:g} logits"
    order = sorted(names, key=lambda key: (key[2] == _ALL_LAYERS, key[0] == "logits", key[2], key[1]))
    return {key: names[key] for key in order}


def _panel(
    axes: Axes, tables: StudyTables, encoding: str, data: pd.DataFrame, names: dict[tuple[str, float, int], str]
) -> None:
    """Draw one encoding."""
    places = {key: len(names) - 1 - place for place, key in enumerate(names)}
    wavelengths, color = tables.wavelengths(encoding), tables.styles[encoding].color
    chosen = data[data["activated"] > 0]
    keys = zip(chosen["rule"], chosen["threshold"], chosen["layer"], strict=True)
    y = np.array([places[key] for key in keys])
    size = min(60.0, 900.0 / len(wavelengths))
    edges = [
        INK if own and layer == _ALL_LAYERS else color
        for own, layer in zip(chosen["own"], chosen["layer"], strict=True)
    ]
    axes.scatter(chosen["component"], y, s=size * chosen["activated"], color=color, edgecolors=edges, linewidths=1.0)
    axes.axvline(cutoff(tables, encoding) - 0.5, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    parts = [sum(key[2] == _ALL_LAYERS for key in names), sum(key[0] == "logits" for key in names)]
    for edge in parts:
        axes.axhline(edge - 0.5, color=MUTED, linewidth=0.8)
    axes.set_title(f"{tables.label(encoding)}: {tables.kept(encoding)} of {len(wavelengths)} turn")
    axes.set_xlim(-0.8, len(wavelengths) - 0.2)
    axes.set_yticks(list(places.values()), list(names.values()))
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("component j and its wavelength in L")
    component_ticks(axes, wavelengths)
