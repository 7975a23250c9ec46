"""Figures of frequency components: their contributions to the logits, and which of them are activated."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import broken
from hope.reporting.figures.lines import panel_grid
from hope.reporting.figures.style import INK, MUTED, new_figure
from hope.reporting.study_tables import ArmTables

_ACROSS = 3
"""Most panels side by side."""
_ALL_LAYERS = -1


@figure(
    title="Frequency components",
    look=(
        "Above, the range of each component's logit contribution over distances within L: dots are heads, the line is "
        "their mean, circles mark activated components. The dashed line is HoPE's cutoff: right of it a component "
        "completes no turn within L. Below, the contribution at each distance; the colour of the most extreme 0.5% is "
        "that of the ends of the scale."
    ),
    alt="Logit contribution of each frequency component of the rotary encodings over distance, with the cutoff marked.",
    needs=("analysis/components.parquet",),
)
def components(tables: ArmTables) -> Drawing | None:
    """Draw the contribution of each frequency component to the logits over distances within L.

    Above: the range of its mean contribution over distance, one dot per head and a line at their mean. Below: the
    mean contribution at each distance, minus its mean over distances.

    Data, one row per component and head: ``encoding``, ``seed``, ``layer``, ``head``, ``component``, ``range``
    (logits), ``activated``, ``wavelength_in_lengths``.
    """
    frame = tables.read("components")
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
        mark_cutoff(axes.axvline, tables, encoding)
        axes.set_xlabel("component j and its wavelength in L")
        _component_ticks(axes, tables.wavelengths(encoding))
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


def _ranges(axes: Axes, tables: ArmTables, encoding: str, rows: pd.DataFrame) -> None:
    """Draw the range of each component of one encoding."""
    style = tables.styles[encoding]
    spread = 0.3 * (rows["head"] / max(1, rows["head"].max()) - 0.5)
    # Many heads are a cloud, on which the line of their mean must be seen.
    alpha = float(np.clip(15 * rows["component"].nunique() / len(rows), 0.08, 0.3))
    axes.scatter(rows["component"] + spread, rows["range"], s=7, color=style.color, alpha=alpha, linewidths=0)
    mean = rows.groupby("component")["range"].mean()
    axes.plot(mean.index, mean, **style.line(markersize=3.6), label=encoding, zorder=4)
    if "activated" in rows:
        share = rows.groupby("component")["activated"].mean()
        chosen = share[share > 0.5].index
        axes.scatter(
            chosen, mean[chosen], s=70, facecolors="none", edgecolors=INK, linewidths=1.0, zorder=5, label="activated"
        )
        axes.legend(loc="upper right", fontsize=8.5, handletextpad=0.4) if len(chosen) else None
    mark_cutoff(axes.axvline, tables, encoding)
    axes.set_title(f"{broken(tables.label(encoding), 36)}:\n{tables.kept(encoding)} of {len(mean)} components turn")
    axes.set_ylim(bottom=0.0)


def _wavelength_table(tables: ArmTables, encodings: list[str]) -> pd.DataFrame:
    parts = []
    for encoding in encodings:
        wavelengths = tables.wavelengths(encoding)
        number = np.arange(len(wavelengths))
        parts.append(pd.DataFrame({"encoding": encoding, "component": number, "wavelength_in_lengths": wavelengths}))
    return pd.concat(parts, ignore_index=True)


@figure(
    title="Activated components",
    look=(
        "The components that change the logits over distance most, beside HoPE's cutoff 2 pi / L (dashed). From the "
        "top: the study's own share in each layer; other shares over all layers; a threshold in logits. The area of a "
        "mark is the share of the seeds in which the component is activated."
    ),
    alt="Activated components by layer and by threshold, one panel per rotary encoding, with the cutoff marked.",
    needs=("analysis/activation.parquet",),
)
def activation(tables: ArmTables) -> Drawing | None:
    """Draw the activated components: layer by layer, and over all layers by other thresholds.

    The area of a mark is the share of the seeds in which the component is activated.

    Data, one row per component and rule: ``encoding``, ``rule`` (share or logits), ``threshold``, ``layer`` (-1 for
    all), ``component``, ``turns`` (within L), ``activated`` (share of the seeds), ``seeds``, ``own`` (whether it is
    the study's own rule).
    """
    frame = tables.read("activation")
    by = ["encoding", "rule", "threshold", "layer", "component"]
    data = frame.groupby(by).agg(turns=("turns", "first"), activated=("activated", "mean"), seeds=("seed", "nunique"))
    data = data.reset_index()
    own = np.isclose(data["threshold"], tables.arm.analysis.active_share) & (data["rule"] == "share")
    data["line"] = np.where(own & (data["layer"] >= 0), "layer", np.where(data["layer"] == _ALL_LAYERS, "all", ""))
    data = data[data["line"] != ""].assign(own=own)
    present = [name for name in tables.rotary() if name in set(data["encoding"])]
    names = _lines(data)
    size = 3.6, 0.22 * len(names) + 1.1
    figure, _, panels = panel_grid(len(present), _ACROSS, panel=size, margin=(1.5, 0.0), sharey=True)
    for axes, encoding in zip(panels, present, strict=True):
        _panel(axes, tables, encoding, data[data["encoding"] == encoding], names)
    return Drawing(figure, data.drop(columns="line"))


def _lines(data: pd.DataFrame) -> dict[tuple[str, float, int], str]:
    """Return the lines of a panel from the top: their label by rule, threshold and layer."""
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
    axes: Axes, tables: ArmTables, encoding: str, data: pd.DataFrame, names: dict[tuple[str, float, int], str]
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
    mark_cutoff(axes.axvline, tables, encoding)
    parts = [sum(key[2] == _ALL_LAYERS for key in names), sum(key[0] == "logits" for key in names)]
    for edge in parts:
        axes.axhline(edge - 0.5, color=MUTED, linewidth=0.8)
    axes.set_title(broken(f"{tables.label(encoding)}: {tables.kept(encoding)} of {len(wavelengths)} turn", 34))
    axes.set_xlim(-0.8, len(wavelengths) - 0.2)
    axes.set_yticks(list(places.values()), list(names.values()))
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("component j and its wavelength in L")
    _component_ticks(axes, wavelengths)


def mark_cutoff(draw_line: Callable[..., object], tables: ArmTables, encoding: str) -> None:
    """Draw HoPE's cutoff with ``axvline`` or ``axhline``, before the first component that completes no turn in L."""
    cutoff = int(np.sum(tables.wavelengths(encoding) <= 1.0))
    draw_line(cutoff - 0.5, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))


def _component_ticks(axes: Axes, wavelengths: np.ndarray) -> None:
    """Label components with their number and wavelength."""
    every = max(1, -(-len(wavelengths) // 6))
    chosen = range(0, len(wavelengths), every)
    axes.set_xticks(list(chosen), [f"{j}\n{_rounded(wavelengths[j])}" for j in chosen])


def _rounded(value: float) -> str:
    """Return a wavelength with two digits and no exponent."""
    if np.isinf(value):
        return "∞"
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"
