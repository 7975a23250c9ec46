"""Figures of decay with distance: by theory, over bases and encodings, and with trained queries and keys."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from hope.catalogue import FAMILIES
from hope.reporting.figures.data import Drawing, band
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.style import MUTED, encoding_styles, length_axis, new_figure
from hope.reporting.study_tables import ArmTables
from hope.words import short

_FLOORS = 4
"""Up to this many floors are named in the panel of the kernel, more of them in the legend."""
_SWEPT = {name: family.shades for name, family in FAMILIES.items() if family.shades}
"""Families that are swept over bases, with a colour map that grows darker with the base."""
_MARKS = 0.12
"""Distance between the markers of a line, as a share of the panel's diagonal."""
_CURVES = {"value": "mean kernel g(D)", "bound": "summation bound,\nrelative to D = 1"}
_OF_TRAINED = {"value": "logit of the mean query and key", "bound": "bound on it by summation by parts"}


@figure(
    title="Decay in theory",
    look=(
        "g(D) is the logit of a query and a key that are equal in every component, relative to distance 0; it needs "
        "no model. Bold lines are means over an octave. Past L, HoPE keeps a floor while RoPE falls further. The bound "
        "beside it depends on the order of the components and is a worst case, not the behaviour of models."
    ),
    alt="Theoretical mean kernel and summation bound of the rotary encodings over distances to 16 training lengths.",
    needs=("theory/kernel.parquet",),
)
def kernel(tables: ArmTables) -> Drawing | None:
    """Draw the mean kernel g(D), and the summation bound if the table has it, over distances to 16 L.

    Data, one row per encoding and distance: ``encoding``, ``distance_in_lengths``, ``distance`` (tokens), ``value``
    (g), ``bound``, ``value_smoothed`` and ``bound_smoothed`` (means over an octave).
    """
    frame = tables.theory("kernel")
    frame = frame.sort_values(["encoding", "distance"], ignore_index=True)
    frame.insert(1, "distance_in_lengths", frame["distance"] / tables.length)
    shown = [column for column in _CURVES if column in frame]
    parts = []
    for encoding in tables.rotary():
        own = frame[frame["encoding"] == encoding].copy()
        for column in shown:
            own[f"{column}_smoothed"] = octave_mean(own["distance"].to_numpy(), own[column].to_numpy())
        parts.append(own)
    data = pd.concat(parts, ignore_index=True)
    figure, (row,) = new_figure(8.6 if len(shown) > 1 else 6.2, 3.7, 1, len(shown))
    floors = _floors(tables)
    for axes, column in zip(row, shown, strict=True):
        for encoding in tables.rotary():
            own, style = data[data["encoding"] == encoding], tables.styles[encoding]
            scale = own[column].iloc[0] if column == "bound" else 1.0
            x = own["distance_in_lengths"]
            axes.plot(x, own[column] / scale, color=style.color, linewidth=0.5, alpha=0.35)
            label = encoding
            if encoding in floors and len(floors) > _FLOORS:
                label += f" (floor {floors[encoding]:.2f})"
            bold = {"markevery": max(1, len(own) // 10), "label": label, "linewidth": 2.0}
            axes.plot(x, own[f"{column}_smoothed"] / scale, **style.line(**bold))
        axes.set_ylabel(_CURVES[column])
        length_axis(axes, data["distance_in_lengths"], "distance D, in training lengths L", every=2)
    for place, (encoding, floor) in enumerate(floors.items()):
        color = tables.styles[encoding].color
        row[0].axhline(floor, color=color, linewidth=1.0, linestyle=(0, (1, 2)))
        if len(floors) <= _FLOORS:
            words = f"floor of {encoding}: 1 − 2K/d = {floor:.2f}"
            row[0].text(0.02, 0.025 + 0.055 * place, words, transform=row[0].transAxes, color=color, fontsize=8.5)
    row[0].axhline(0.0, color=MUTED, linewidth=1.0)
    add_legend(figure)
    return Drawing(figure, data)


def _floors(tables: ArmTables) -> dict[str, float]:
    """Return the floor 1 - 2K/d, the mean of g over far distances, of each encoding that has one."""
    half = tables.arm.model.head_dim // 2
    return {name: 1 - tables.kept(name) / half for name in tables.rotary() if tables.kept(name) < half}


def octave_mean(distance: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the mean of ``value`` within half an octave to either side of each distance."""
    sums = np.concatenate([[0.0], np.cumsum(value)])
    low = np.searchsorted(distance, distance / np.sqrt(2))
    high = np.searchsorted(distance, distance * np.sqrt(2), side="right")
    return (sums[high] - sums[low]) / (high - low)


@figure(
    title="Decay in theory, at the sizes in use",
    look=(
        "The claims of theory at head dimensions, training lengths and bases of published models, not of this study. "
        "The worst size decides: the highest mark of the first and of the last panel, the lowest of the middle one."
    ),
    alt="Gap of HoPE's kernel to its floor and to RoPE's, and of both bounds, over training length, one line per size.",
    needs=("theory/kernel_sizes.parquet",),
)
def kernel_sizes(tables: ArmTables) -> Drawing | None:
    """Draw the gaps that theory predicts over the training length, one line per head dimension and base.

    Data, one row per size: ``head_dim``, ``length`` (L in tokens), ``base``; ``rope_far`` and ``hope_far`` (mean
    kernels from 8 L to 16 L), ``hope_floor``, ``bound_gap`` (of the bounds within L), ``floor_gap``
    (|``hope_far`` - ``hope_floor``|), ``rise_above_rope`` (``hope_far`` - ``rope_far``).
    """
    data = tables.theory("kernel_sizes").sort_values(["head_dim", "base", "length"], ignore_index=True)
    data["floor_gap"] = (data["hope_far"] - data["hope_floor"]).abs()
    data["rise_above_rope"] = data["hope_far"] - data["rope_far"]
    panels = {
        "floor_gap": "HoPE's kernel from its floor,\n8L to 16L",
        "rise_above_rope": "HoPE's kernel above RoPE's,\n8L to 16L",
        "bound_gap": "gap of the bounds\nwithin L",
    }
    lengths = sorted(set(data["length"]))
    figure, (row,) = new_figure(9.6, 3.3, 1, len(panels))
    for axes, (column, words) in zip(row, panels.items(), strict=True):
        for place, ((head_dim, base), own) in enumerate(data.groupby(["head_dim", "base"])):
            look: dict[str, Any] = {"color": f"C{place}", "marker": "osD^"[place % 4], "markersize": 4.6}
            axes.plot(own["length"], own[column], label=f"d = {head_dim}, base {base:,.0f}", **look)
        axes.set_xscale("log", base=2)
        axes.set_xticks(lengths, [f"{length:,}" for length in lengths], fontsize=8)
        axes.set_xticks([], minor=True)
        axes.set_ylim(bottom=0.0)
        axes.set_xlabel("training length L (tokens)")
        axes.set_title(words)
    add_legend(figure)
    return Drawing(figure, data)


@figure(
    title="Decay in theory, by base and encoding",
    look=(
        "The same two curves for RoPE and HoPE at several bases (darker for larger bases), and for other rotary "
        "encodings at their usual settings; means over an octave, without any model. A larger base moves the fall of "
        "RoPE to the right and raises HoPE's floor, because HoPE freezes more components."
    ),
    alt="Mean kernel and summation bound over distance, of RoPE and HoPE at several bases and of other encodings.",
    needs=("theory/kernel_sweep.parquet",),
)
def kernel_sweep(tables: ArmTables) -> Drawing | None:
    """Draw mean kernel and summation bound of RoPE and HoPE at several bases, and of other rotary encodings.

    Data, one row per encoding, base and distance: ``distance`` (tokens), ``value`` (g), ``distance_in_lengths``,
    ``bound`` (relative to D = 1), ``encoding``, ``base``, ``value_smoothed`` and ``bound_smoothed`` (means over an
    octave).
    """
    frame = tables.theory("kernel_sweep")
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
                look = styles[family].line(color=shade, markeredgecolor="white", label=f"{family}, base {short(base)}")
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


@figure(
    title="Decay with trained queries and keys",
    look=(
        "The same two curves, in logits, for the mean query and key of each head instead of equal ones; means over an "
        "octave. Lines are means over heads and seeds, bands hold the middle half of the heads."
    ),
    alt="Kernel and bound of the trained heads' mean queries and keys over distances to 16 training lengths.",
    needs=("analysis/kernel_trained.parquet",),
)
def kernel_trained(tables: ArmTables) -> Drawing | None:
    """Draw the kernel and its bound with the mean queries and keys of the trained heads, in logits.

    Lines are means over heads and seeds, smoothed over an octave of distance; bands hold the middle half of the heads.

    Data, one row per encoding and distance: ``encoding``, ``distance`` (tokens), ``distance_in_lengths``; ``value``
    and ``bound`` (logits), each with quartiles ``_low`` and ``_high``; ``heads`` (of all seeds).
    """
    frame = tables.read("kernel_trained")
    present = [name for name in tables.rotary() if name in set(frame["encoding"])]
    data = pd.concat([_of_heads(frame[frame["encoding"] == name]).assign(encoding=name) for name in present])
    data.insert(1, "distance_in_lengths", data["distance"] / tables.length)
    figure, (row,) = new_figure(8.8, 3.7, 1, 2)
    for axes, (column, words) in zip(row, _OF_TRAINED.items(), strict=True):
        for encoding in present:
            own, style = data[data["encoding"] == encoding], tables.styles[encoding]
            own = own.rename(columns={column: "estimate", f"{column}_low": "low", f"{column}_high": "high"})
            band(axes, own["distance_in_lengths"], own, style, tables.label(encoding), markevery=_MARKS)
        axes.set_ylabel(words)
        length_axis(axes, data["distance_in_lengths"], "distance D, in training lengths L", every=2)
    row[0].axhline(0.0, color=MUTED, linewidth=1.0)
    row[1].set_ylim(bottom=0.0)
    add_legend(figure)
    return Drawing(figure, data[["encoding", *(name for name in data if name != "encoding")]])


def _of_heads(frame: pd.DataFrame) -> pd.DataFrame:
    """Return smoothed means and quartiles over the heads and seeds of one encoding, one row per distance."""
    heads: Sequence[str] = ["seed", "layer", "head"]
    columns: dict[str, Any] = {}
    for column in _OF_TRAINED:
        table = frame.pivot(index="distance", columns=heads, values=column)
        distance = table.index.to_numpy()
        smooth = np.stack([octave_mean(distance, table[head].to_numpy()) for head in table], axis=1)
        low, high = np.quantile(smooth, [0.25, 0.75], axis=1)
        columns |= {"distance": distance, column: smooth.mean(axis=1), f"{column}_low": low, f"{column}_high": high}
        columns["heads"] = smooth.shape[1]
    return pd.DataFrame(columns)
