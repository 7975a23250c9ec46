"""Figures of rotary encodings: the theoretical kernel and what each component adds."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hope.reporting.figures.data import Drawing
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.style import INK, MUTED, length_axis, new_figure
from hope.reporting.study_tables import StudyTables

_ACROSS = 3
"""Encodings side by side in one row of the components' figure."""
_FLOORS = 4
"""So many floors are named in the kernel's figure itself, more in the legend."""


def kernel(tables: StudyTables) -> Drawing | None:
    """Draw the mean kernel g(D), and the summation bound where the table has it, from 1 to 16 L."""
    frame = tables.theory("kernel")
    if frame.empty:
        return None
    frame = frame.sort_values(["encoding", "distance"], ignore_index=True)
    frame.insert(1, "distance_in_lengths", frame["distance"] / tables.length)
    curves = {"value": "mean kernel g(D)", "bound": "summation bound, relative to D = 1"}
    shown = [column for column in curves if column in frame]
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
        axes.set_ylabel(curves[column])
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


def _floors(tables: StudyTables) -> dict[str, float]:
    """Return the mean of g over far distances, 1 - 2K/d, of each encoding where it is not 0."""
    half = tables.study.model.head_dim // 2
    return {name: 1 - tables.kept(name) / half for name in tables.rotary() if tables.kept(name) < half}


def octave_mean(distance: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the mean of ``value`` within half an octave to either side of each distance."""
    sums = np.concatenate([[0.0], np.cumsum(value)])
    low = np.searchsorted(distance, distance / np.sqrt(2))
    high = np.searchsorted(distance, distance * np.sqrt(2), side="right")
    return (sums[high] - sums[low]) / (high - low)


def components(tables: StudyTables) -> Drawing | None:
    """Draw how far each frequency component bends the logits over distances within L, and which way.

    Above: the range of its mean contribution over distance, a dot a head, the line their mean. Below: the
    mean contribution over distance, its mean over distances taken off.
    """
    frame = tables.read("components")
    if frame.empty:
        return None
    frame = frame[frame["distance"] < tables.length]
    present = [name for name in tables.rotary() if name in set(frame["encoding"])]
    head = ["encoding", "seed", "layer", "head", "component"]
    contribution = frame.groupby(head)["contribution"]
    ranges = (contribution.max() - contribution.min()).rename("range").reset_index()
    if "activated" in frame:
        marks = frame.groupby(["encoding", "seed", "component"])["activated"].first().reset_index()
        ranges = ranges.merge(marks, on=["encoding", "seed", "component"])
    mean = (
        frame.groupby(["encoding", "component", "distance"])["contribution"].mean().rename("contribution").reset_index()
    )
    mean["bend"] = mean["contribution"] - mean.groupby(["encoding", "component"])["contribution"].transform("mean")
    columns = min(len(present), _ACROSS)
    lines = -(-len(present) // columns)
    heights = [1.0, 1.1] * lines
    figure, rows = new_figure(3.9 * columns + 0.6, 5.6 * lines, 2 * lines, columns, sharey="row", height_ratios=heights)
    figure.get_layout_engine().set(wspace=0.06)  # type: ignore[union-attr,call-arg]
    limit = float(np.nanquantile(mean["bend"].abs(), 0.995)) or 1.0
    image = None
    for place, encoding in enumerate(present):
        above, axes = (rows[place // columns * 2 + row][place % columns] for row in (0, 1))
        _ranges(above, tables, encoding, ranges[ranges["encoding"] == encoding])
        grid = mean[mean["encoding"] == encoding].pivot(index="distance", columns="component", values="bend")
        edges = [*grid.index, tables.length]
        image = axes.pcolormesh(
            np.arange(grid.shape[1] + 1) - 0.5, np.array(edges) / tables.length, grid.to_numpy(),
            cmap="PuOr_r", vmin=-limit, vmax=limit, rasterized=True,
        )  # fmt: skip
        axes.grid(False)
        axes.axvline(cutoff(tables, encoding) - 0.5, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.set_xlabel("component j and its wavelength in L")
        component_ticks(axes, tables.wavelengths(encoding))
        above.set_xticks(axes.get_xticks(), [])
        above.set_xlim(axes.get_xlim())
    for line in range(lines):
        rows[2 * line][0].set_ylabel("range over distance\n(logits)")
        rows[2 * line + 1][0].set_ylabel("distance, in L")
    for place in range(len(present), lines * columns):
        for row in (0, 1):
            rows[place // columns * 2 + row][place % columns].set_visible(False)
    if image is not None:
        beside = [axes for row in rows[1::2] for axes in row]
        words = "mean contribution,\ncentred (logits)"
        bar = figure.colorbar(image, ax=beside, label=words, aspect=14, pad=0.02, shrink=1 / lines, anchor=(0, 1))
        bar.outline.set_visible(False)
    data = ranges.merge(_wavelength_table(tables, present), on=["encoding", "component"])
    return Drawing(figure, data)


def _ranges(axes: Axes, tables: StudyTables, encoding: str, rows: pd.DataFrame) -> None:
    """Draw one encoding's ranges by component."""
    style = tables.styles[encoding]
    spread = 0.3 * (rows["head"] / max(1, rows["head"].max()) - 0.5)
    axes.scatter(rows["component"] + spread, rows["range"], s=7, color=style.color, alpha=0.3, linewidths=0)
    mean = rows.groupby("component")["range"].mean()
    axes.plot(mean.index, mean, **style.line(markersize=3.6), label=encoding)
    if "activated" in rows:
        share = rows.groupby("component")["activated"].mean()
        chosen = share[share > 0.5].index
        axes.scatter(
            chosen, mean[chosen], s=70, facecolors="none", edgecolors=INK, linewidths=1.0, zorder=5, label="activated"
        )
        axes.legend(loc="upper right", fontsize=8.5, handletextpad=0.4) if len(chosen) else None
    axes.axvline(cutoff(tables, encoding) - 0.5, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.set_title(f"{tables.label(encoding)}:\n{tables.kept(encoding)} of {len(mean)} components turn")
    axes.set_ylim(bottom=0.0)


def cutoff(tables: StudyTables, encoding: str) -> int:
    """Return the first component whose wavelength is longer than L: it completes no turn within L."""
    return int(np.sum(tables.wavelengths(encoding) <= 1.0))


def component_ticks(axes: Axes, wavelengths: np.ndarray) -> None:
    """Label components by their number and wavelength."""
    every = max(1, -(-len(wavelengths) // 6))
    chosen = range(0, len(wavelengths), every)
    axes.set_xticks(list(chosen), [f"{j}\n{_rounded(wavelengths[j])}" for j in chosen])


def _rounded(value: float) -> str:
    """Return a wavelength with two digits and no exponent."""
    if np.isinf(value):
        return "∞"
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _wavelength_table(tables: StudyTables, encodings: list[str]) -> pd.DataFrame:
    parts = []
    for encoding in encodings:
        wavelengths = tables.wavelengths(encoding)
        number = np.arange(len(wavelengths))
        parts.append(pd.DataFrame({"encoding": encoding, "component": number, "wavelength_in_lengths": wavelengths}))
    return pd.concat(parts, ignore_index=True)
