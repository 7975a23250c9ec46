"""The figure of interventions: the effect of changing some components of a trained model."""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from hope.measures.interventions import INTERVENTIONS, SETS
from hope.reporting.estimates import summarize
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.style import MUTED, new_figure
from hope.reporting.study_tables import ArmTables

_MEASURES = {
    "index_without_sink": "U-shape index",
    "loss_within": "loss within L (nats/token)",
    "loss_past": "loss from L to 2L (nats/token)",
}
_SETS = {
    "activated": "activated",
    "random": "as many others",
    "matched": "others of that variance",
    "slow": "slow: under one turn",
    "fast": "fast: one turn or more",
}
_MODES = {"freeze": ("frozen at angle 0", "o"), "mean": ("mean over distance", "D"), "remove": ("removed", "X")}
_LINEAR = 0.1
"""The axis is linear up to changes of this size and logarithmic beyond."""


@figure(
    title="Changing components",
    look=(
        "The change when some of a trained model's components are frozen (they still carry tokens, not distance), "
        "replaced by their mean at each distance (they still carry distance, not tokens), or removed. Claims 2 and 3 "
        "compare the disks of the activated components with those of the others. Where changes are large, the axis is "
        "logarithmic beyond 0.1."
    ),
    alt="Change of U-shape index and losses when components are frozen, averaged or removed, by set of components.",
    needs=("analysis/intervention.parquet",),
)
def intervention(tables: ArmTables) -> Drawing | None:
    """Draw the effect of each intervention on each set of components, paired by seed and document.

    Data, one row per encoding, measure, mode and set: ``encoding``, ``measure``, ``estimate``, ``low``, ``high`` (the
    change), ``seeds``, ``units``, ``mode`` (freeze, mean or remove), ``set``, ``variance_share`` (of the set in the
    logits).
    """
    frame = tables.read("intervention")
    data = _changes(frame, tables.confidence)
    measures = [name for name in _MEASURES if name in set(data["measure"])]
    present = [name for name in tables.rotary() if name in set(data["encoding"])]
    sets = [name for name in _SETS if name in set(data["set"])]
    size = 3.1 * len(measures) + 0.6, (0.42 * len(sets) + 0.55) * len(present) + 0.9
    figure, rows = new_figure(*size, len(present), len(measures), sharey=True, sharex="col")
    for line, encoding in zip(rows, present, strict=True):
        for axes, measure in zip(line, measures, strict=True):
            own = data[(data["encoding"] == encoding) & (data["measure"] == measure)]
            _marks(axes, own, sets, tables.styles[encoding].color)
        title = (
            f"{tables.label(encoding)}: {tables.kept(encoding)} of {len(tables.wavelengths(encoding))} components turn"
        )
        line[0].set_title(title)
    for axes, measure in zip(rows[-1], measures, strict=True):
        axes.set_xlabel(f"change of {_MEASURES[measure]}")
    rows[0][0].set_yticks(range(len(sets)), [_SETS[name] for name in reversed(sets)])
    rows[0][0].set_ylim(-0.6, len(sets) - 0.4)
    for words, marker in _MODES.values():
        face = "white" if marker == "D" else MUTED
        rows[0][0].plot(
            [], [], label=words, marker=marker, markersize=7, markerfacecolor=face, markeredgecolor=MUTED,
            linestyle="none",
        )  # fmt: skip
    add_legend(figure)
    return Drawing(figure, data)


def _changes(frame: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return the changes with their intervals, one row per encoding, measure, mode and set."""
    plain = frame[frame["mode"] == "none"]
    parts = []
    for mode, name in product(INTERVENTIONS, SETS):
        changed = frame[(frame["mode"] == mode) & (frame["set"] == name)]
        change = summarize(changed, ["encoding", "measure"], "value", "document", confidence, minus=plain)
        shares = changed.groupby("encoding")["variance_share"].mean()
        parts.append(change.assign(mode=mode, set=name, variance_share=change["encoding"].map(shares)))
    return pd.concat(parts, ignore_index=True)


def _marks(axes: Axes, data: pd.DataFrame, sets: list[str], color: str) -> None:
    """Draw one encoding's changes of one measure: one line of the panel per set, one mark per mode."""
    for mark in data.to_dict("records"):
        place = len(sets) - 1 - sets.index(mark["set"]) + 0.24 * (1 - INTERVENTIONS.index(mark["mode"]))
        if np.isfinite(mark["low"]):
            axes.plot([mark["low"], mark["high"]], [place, place], color=color, linewidth=1.6)
        _, marker = _MODES[mark["mode"]]
        face = "white" if marker == "D" else color
        axes.plot(
            mark["estimate"], place, marker=marker, markersize=6, markerfacecolor=face, markeredgecolor=color,
            markeredgewidth=1.2, linestyle="none",
        )  # fmt: skip
    if data[["estimate", "low", "high"]].abs().max().max() > 10 * _LINEAR:
        axes.set_xscale("symlog", linthresh=_LINEAR)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvline(0.0, color=MUTED, linewidth=1.0)
    axes.grid(axis="y", visible=False)
