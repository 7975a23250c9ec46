"""Figures of training: the losses, when the U-shape appears, and when components become activated."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from hope.reporting.estimates import summarize
from hope.reporting.figures.components import mark_cutoff
from hope.reporting.figures.data import Drawing, band
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import add_legend, broken
from hope.reporting.figures.lines import encoding_rows, show_most
from hope.reporting.figures.style import INK, MUTED, new_figure
from hope.reporting.study_tables import ArmTables
from hope.words import short

CURVES = {
    "index_without_sink": "U-shape index,\nfirst token left out",
    "index": "U-shape index,\nfirst token counted",
    "loss": "held-out loss within L\n(nats/token)",
}
"""Measures of the upper row, and the labels of their axes."""
_ACROSS = len(CURVES)
_START = 0.25
"""Place of step 0 on the logarithmic axis, as a multiple of the first later moment."""


@figure(
    title="Development during training",
    look=(
        "The U-shape and the loss on held-out text before the first step (0), during training and at its end (1); very "
        "wide intervals are cut, and marked there. Below, the spread of each component's logit contribution over "
        "distance; circles mark the components activated at that moment; above the dashed line a component completes "
        "no turn within L."
    ),
    alt=(
        "U-shape index and loss over the course of training, one line per encoding, and the spread of each frequency "
        "component at each moment."
    ),
    needs=("analysis/dynamics.parquet",),
)
def training_dynamics(tables: ArmTables) -> Drawing | None:
    """Draw the U-shape index and the loss at moments of training, and below the spread of each rotary component.

    Indices are means over layers and heads; bands are intervals over seeds and documents. Spreads are means over
    layers, heads and seeds; a circle marks a component that is activated in more than half of the seeds.

    Data, one row per encoding and moment: ``measure`` (index, index_without_sink, loss or component), ``encoding``,
    ``step``, ``tokens``, ``share`` (of the training); for the first three ``estimate``, ``low``, ``high``, ``seeds``
    and ``units``; for a component its number ``component``, ``spread`` (logits) and ``activated`` (share of the seeds).
    """
    frame = tables.read("dynamics")
    frame = frame.assign(share=frame["step"] / frame.groupby("encoding")["step"].transform("max"))
    curves = _curves(frame, tables)
    parts = _components(frame)
    present = [name for name in tables.rotary() if name in set(parts["encoding"])]
    lines = -(-len(present) // _ACROSS)
    figure, rows = new_figure(9.4, 3.2 + 2.9 * lines, 1 + lines, _ACROSS)
    shares = sorted(set(frame["share"]))
    for axes, (measure, label) in zip(rows[0], CURVES.items(), strict=True):
        own = curves[curves["measure"] == measure]
        for encoding, of_one in encoding_rows(tables, own, "share"):
            band(axes, _places(of_one["share"], shares), of_one, tables.styles[encoding], tables.label(encoding))
        if measure != "loss":
            axes.axhline(0.0, color=MUTED, linewidth=1.0)
        if not own.empty:
            show_most(axes, tables, own.assign(place=_places(own["share"], shares)), "place")
        axes.set_ylabel(label)
        _share_axis(axes, shares)
    panels = [axes for row in rows[1:] for axes in row]
    largest = float(parts["spread"].max()) if len(parts) else 0.0
    image = None
    for axes, encoding in zip(panels, present, strict=False):
        image = _heatmap(axes, tables, encoding, parts[parts["encoding"] == encoding], largest or 1.0)
    for axes in panels[len(present) :]:
        axes.set_visible(False)
    if image is not None:
        words = "spread over distance (logits)"
        bar = figure.colorbar(image, ax=panels, label=words, aspect=16, pad=0.02, shrink=1 / lines, anchor=(0, 1))
        bar.outline.set_visible(False)
    add_legend(figure)
    return Drawing(figure, pd.concat([curves, parts], ignore_index=True))


def _curves(frame: pd.DataFrame, tables: ArmTables) -> pd.DataFrame:
    """Return each measure of :data:`CURVES` with its interval, by encoding and moment."""
    own = frame[frame["measure"].isin(CURVES)]
    by = ["measure", "encoding", "step", "tokens", "share"]
    return summarize(own, by, "value", "document", tables.confidence)


def _components(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each component's spread over all layers, and the share of seeds in which it is activated."""
    own = frame[frame["measure"].isin(["spread", "activated"]) & (frame["layer"] == -1)]
    by = ["encoding", "step", "tokens", "share", "component"]
    means = own.groupby([*by, "measure"])["value"].mean().unstack("measure").reset_index()
    return means.reindex(columns=[*by, "spread", "activated"]).assign(measure="component")


def _heatmap(axes: Axes, tables: ArmTables, encoding: str, rows: pd.DataFrame, largest: float) -> QuadMesh:
    """Draw the spread of one encoding's components at each moment, in equal columns; return the image."""
    grid = rows.pivot(index="component", columns="share", values="spread")
    image = axes.pcolormesh(
        np.arange(grid.shape[1] + 1) - 0.5, np.arange(len(grid) + 1) - 0.5, grid.to_numpy(),
        cmap="YlGnBu", vmin=0.0, vmax=largest, rasterized=True,
    )  # fmt: skip
    axes.grid(False)
    marked = rows[rows["activated"] > 0.5]
    places = {share: place for place, share in enumerate(grid.columns)}
    size = min(40.0, 900.0 / len(grid))
    look: dict[str, Any] = {"s": size, "facecolors": "none", "edgecolors": "white", "linewidths": 2.2}
    spots = [places[share] for share in marked["share"]], marked["component"]
    axes.scatter(*spots, **look)
    axes.scatter(*spots, **look | {"edgecolors": INK, "linewidths": 0.9})
    mark_cutoff(axes.axhline, tables, encoding)
    axes.set_xticks(range(grid.shape[1]), [_name(float(share)) for share in grid.columns], rotation=45)
    axes.set_title(broken(tables.label(encoding), 26))
    axes.set_xlabel("share of training")
    axes.set_ylabel("component j")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return image


def _places(share: pd.Series, shares: list[float]) -> np.ndarray:
    """Return the places of moments on a logarithmic axis that also has a place for step 0."""
    return np.where(share > 0, share, _START * _first(shares))


def _first(shares: list[float]) -> float:
    return min(share for share in shares if share > 0)


def _share_axis(axes: Axes, shares: list[float]) -> None:
    """Make the x axis log2 in shares of the training; the start, the end and every second moment have a label."""
    axes.set_xscale("log", base=2)
    later = sorted((share for share in shares if share > 0), reverse=True)[::2]
    axes.xaxis.set_major_locator(FixedLocator([_START * _first(shares), *later[::-1]]))
    axes.xaxis.set_major_formatter(FixedFormatter(["0", *(_name(share) for share in later[::-1])]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelrotation=45)
    axes.set_xlabel("share of training")


def _name(share: float) -> str:
    """Return a share of the training as a fraction: 0, 1/8, 1. Moments are halvings, up to the rounding of steps."""
    return f"{share:g}" if share in (0.0, 1.0) else f"1/{2 ** round(-math.log2(share))}"


@figure(
    title="Training",
    look=(
        "All models of a seed see the same batches. Thin lines are seeds, bold ones their mean. The loss on synthetic "
        "examples covers their answer tokens only."
    ),
    alt="Training loss on text and on synthetic examples over tokens seen, one line per encoding.",
    needs=("model/history.parquet",),
)
def training_loss(tables: ArmTables) -> Drawing | None:
    """Draw the losses over training: the mean over seeds as a line, each seed as a thin line.

    Data, one row per model and logged step: ``encoding``, ``seed``, ``step``, ``tokens``, ``part`` (text, synthetic or
    loss), ``loss`` (nats per token).
    """
    frame = tables.read("history")
    names = {"text_loss": "Text", "synthetic_loss": "Synthetic examples (answers only)"}
    shown = [column for column in names if column in frame and (frame[column].notna() & (frame[column] != 0)).any()]
    if not shown:
        shown, names = ["loss"], {"loss": "Loss"}
    keys = ["encoding", "seed", "step", "tokens"]
    long = frame[[*keys, *shown]].melt(keys, shown, "part", "nats").dropna(subset="nats")
    long = long.rename(columns={"nats": "loss"})
    long["part"] = long["part"].str.removesuffix("_loss")
    figure, rows = new_figure(7.6 if len(shown) > 1 else 5.6, 3.5, 1, len(shown))
    for axes, column in zip(rows[0], shown, strict=True):
        part = long[long["part"] == column.removesuffix("_loss")]
        for encoding, own in encoding_rows(tables, part, "step"):
            style = tables.styles[encoding]
            if (own["loss"] == 0).all():  # the arm trains on text alone
                continue
            for _, run in own.groupby("seed"):
                axes.plot(run["tokens"], run["loss"], color=style.color, linewidth=0.6, alpha=0.45)
            mean = own.groupby("tokens")["loss"].mean()
            every = max(1, len(mean) // 8)
            axes.plot(mean.index, mean, label=tables.label(encoding), markevery=every, **style.line())
        axes.set_title(names[column])
        axes.set_xlabel("tokens seen")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.set_ylim(max(0.0, part["loss"].min() * 0.95), part["loss"].max() * 1.05)
    rows[0][0].set_ylabel("loss (nats/token)")
    add_legend(figure)
    return Drawing(figure, long.sort_values(["part", "encoding", "seed", "step"], ignore_index=True))
