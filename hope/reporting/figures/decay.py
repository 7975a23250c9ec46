"""Figures of decay with distance: by theory over bases and encodings, and with trained queries and keys."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from hope.reporting.figures.data import Drawing
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.rotary import octave_mean
from hope.reporting.figures.style import MUTED, encoding_styles, length_axis, new_figure
from hope.reporting.study_tables import StudyTables

_SWEPT = {"rope": "Oranges", "hope": "Blues"}
"""Families that are swept over bases, and the colours that grow darker with the base."""
_MARKS = 0.12
"""From one marker of a line to the next, as a share of the panel's diagonal."""
_CURVES = {"value": "mean kernel g(D)", "bound": "summation bound,\nrelative to D = 1"}


def kernel_sweep(tables: StudyTables) -> Drawing | None:
    """Draw mean kernel and summation bound of RoPE and HoPE at several bases, and of other rotary encodings."""
    frame = tables.theory("kernel_sweep")
    if frame.empty:
        return None
    frame = frame.sort_values(["encoding", "base", "distance"], ignore_index=True)
    frame.insert(2, "distance_in_lengths", frame["distance"] / tables.length)
    parts = [part.copy() for _, part in frame.groupby(["encoding", "base"])]
    for part in parts:
        part["bound"] /= part["bound"].iloc[0]
        for column in _CURVES:
            part[f"{column}_smoothed"] = octave_mean(part["distance"].to_numpy(), part[column].to_numpy())
    data = pd.concat(parts, ignore_index=True)
    bases = sorted(data.loc[data["encoding"].isin(_SWEPT), "base"].unique())
    others = [name for name in data["encoding"].unique() if name not in _SWEPT]
    figure, rows = new_figure(8.8, 5.8, 2, 2, sharex=True, sharey="row")
    styles = encoding_styles([*_SWEPT, *others])
    for line, column in zip(rows, _CURVES, strict=True):
        for family, colors in _SWEPT.items():
            for place, base in enumerate(bases):
                shade = to_hex(matplotlib.colormaps[colors](0.4 + 0.55 * place / max(1, len(bases) - 1)))
                own = data[(data["encoding"] == family) & (data["base"] == base)]
                look = styles[family].line(color=shade, markeredgecolor="white", label=f"{family}, {_base_name(base)}")
                _curve(line[0], own, column, look)
        for name in [*_SWEPT, *others]:
            own = data[data["encoding"] == name]
            own = own[own["base"] == min(own["base"], key=lambda base: abs(base - 1e4))]
            _curve(line[1], own, column, styles[name].line(label=name))
        line[0].set_ylabel(_CURVES[column])
    rows[0][0].set_title("RoPE and HoPE by base")
    rows[0][1].set_title("other rotary encodings, base 10k")
    for axes in rows[1]:
        length_axis(axes, data["distance_in_lengths"], "distance D, in training lengths L", every=2)
    for axes in rows[0]:
        length_axis(axes, data["distance_in_lengths"], "", every=2)
        axes.axhline(0.0, color=MUTED, linewidth=1.0)
    add_legend(figure)
    return Drawing(figure, data)


def _curve(axes: Axes, rows: pd.DataFrame, column: str, look: dict[str, Any]) -> None:
    """Draw one smoothed curve."""
    marks = {"markevery": _MARKS, "linewidth": 1.6}
    axes.plot(rows["distance_in_lengths"], rows[f"{column}_smoothed"], **(look | marks))


def _base_name(base: float) -> str:
    """Return a base as people write it: 10k, 1M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if base >= size:
            return f"base {base / size:g}{letter}"
    return f"base {base:g}"


def kernel_trained(tables: StudyTables) -> Drawing | None:
    """Draw the kernel and its bound with the mean queries and keys of the trained heads, in logits.

    Lines are means over heads and seeds, smoothed over an octave of distance; bands hold the middle half of the heads.
    """
    frame = tables.read("kernel_trained")
    if frame.empty:
        return None
    present = [name for name in tables.rotary() if name in set(frame["encoding"])]
    data = pd.concat([_of_heads(frame[frame["encoding"] == name]).assign(encoding=name) for name in present])
    data.insert(1, "distance_in_lengths", data["distance"] / tables.length)
    figure, (row,) = new_figure(8.8, 3.7, 1, 2)
    for axes, (column, words) in zip(row, _OF_TRAINED.items(), strict=True):
        for encoding in present:
            own, style = data[data["encoding"] == encoding], tables.styles[encoding]
            x = own["distance_in_lengths"]
            axes.plot(x, own[column], **style.line(markevery=_MARKS, label=tables.label(encoding)))
            axes.fill_between(
                x, own[f"{column}_low"], own[f"{column}_high"], color=style.color, alpha=0.16, linewidth=0
            )
        axes.set_ylabel(words)
        length_axis(axes, data["distance_in_lengths"], "distance D, in training lengths L", every=2)
    row[0].axhline(0.0, color=MUTED, linewidth=1.0)
    row[1].set_ylim(bottom=0.0)
    add_legend(figure)
    return Drawing(figure, data[["encoding", *(name for name in data if name != "encoding")]])


_OF_TRAINED = {"value": "logit of the mean query and key", "bound": "bound on it by summation by parts"}


def _of_heads(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean and quartiles over the heads and seeds of one encoding, smoothed, one row a distance."""
    heads: Sequence[str] = ["seed", "layer", "head"]
    found: dict[str, Any] = {}
    for column in _OF_TRAINED:
        table = frame.pivot(index="distance", columns=heads, values=column)
        distance = table.index.to_numpy()
        smooth = np.stack([octave_mean(distance, table[head].to_numpy()) for head in table], axis=1)
        found |= {"distance": distance, column: smooth.mean(axis=1)}
        found |= {
            f"{column}_low": np.quantile(smooth, 0.25, axis=1),
            f"{column}_high": np.quantile(smooth, 0.75, axis=1),
        }
        found["heads"] = smooth.shape[1]
    return pd.DataFrame(found)
