"""Figures of the loss: at each position of a window, and on the same tokens with more and less context."""

import numpy as np
import pandas as pd

from hope.measures.losses import per_token
from hope.reporting.estimates import summarize
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import name_lines
from hope.reporting.figures.lines import draw_lines, show_most
from hope.reporting.figures.style import MUTED, length_axis, new_figure
from hope.reporting.study_tables import ArmTables
from hope.reporting.summaries import baseline_of

BINS_PER_OCTAVE = 4
"""Number of bins past L per doubling of the position."""


@figure(
    title="Loss by position",
    look=(
        "Past L (shaded) the loss of a model that extrapolates stays level. Judge by the lower panel: it pairs the "
        "losses by seed and document, so that tokens that are hard for all models cancel. Very wide intervals are cut, "
        "and marked there."
    ),
    alt="Loss at each position of long windows, one line per encoding, and its paired difference to RoPE.",
    needs=("evaluation/extrapolation.parquet",),
)
def loss_by_position(tables: ArmTables) -> Drawing | None:
    """Draw the loss at each position, and its paired difference to the baseline's.

    Data, one row per encoding and bin of positions: ``position`` (middle of the bin, in L), ``encoding``, ``start``
    and ``end`` (of the bin, in tokens), ``estimate`` (nats per token), ``low``, ``high``, ``seeds``, ``units``,
    ``measure`` (loss or difference), ``baseline`` (of the difference).
    """
    frame = _losses(tables)
    parts = [_mean_losses(frame, tables).assign(measure="loss")]
    for encoding in tables.encodings:
        baseline = baseline_of(tables.arm, encoding)
        own, reference = (frame[frame["encoding"] == name] for name in (encoding, baseline))
        if not own.empty and not reference.empty:
            difference = summarize(own, ["start", "end"], "loss", "document", tables.confidence, minus=reference)
            parts.append(difference.assign(encoding=encoding, baseline=baseline, measure="difference"))
    data = _with_positions(pd.concat(parts, ignore_index=True), tables)
    panels = list(dict.fromkeys(data["measure"]))
    heights = [1.15, 1.0][: len(panels)]
    figure, rows = new_figure(7.6, 2.9 * len(panels) + 0.5, len(panels), 1, sharex=True, height_ratios=heights)
    baselines = " or ".join(data["baseline"].dropna().unique()) if "baseline" in data else ""
    titles = {"loss": "Loss at each position", "difference": f"Difference to {baselines}, paired by seed and document"}
    for panel, (axes,) in zip(panels, rows, strict=True):
        drawn = data[data["measure"] == panel]
        draw_lines(axes, tables, drawn, "position")
        show_most(axes, tables, drawn, "position")
        axes.set_title(titles[panel])
        axes.set_ylabel("loss (nats/token)" if panel == "loss" else "loss difference (nats/token)")
        if panel == "difference":
            axes.axhline(0.0, color=MUTED, linewidth=1.0)
        length_axis(axes, drawn["position"], "")
    rows[-1][0].set_xlabel("position in the window, in training lengths L")
    name_lines(figure, [axes for (axes,) in rows])
    return Drawing(figure, data)


def losses_by_position(tables: ArmTables) -> pd.DataFrame:
    """Return the mean loss of each encoding at each position, in training lengths, with its interval."""
    return _with_positions(_mean_losses(_losses(tables), tables), tables)


def _losses(tables: ArmTables) -> pd.DataFrame:
    """Return the loss per token of each model and document, by bin of positions."""
    frame = _wider_bins(tables.read("extrapolation"), tables.length)
    return per_token(frame, ["encoding", "start", "end", "seed", "document"]).rename("loss").reset_index()


def _mean_losses(frame: pd.DataFrame, tables: ArmTables) -> pd.DataFrame:
    return summarize(frame, ["encoding", "start", "end"], "loss", "document", tables.confidence)


def _with_positions(data: pd.DataFrame, tables: ArmTables) -> pd.DataFrame:
    """Return the bins with their middle, in training lengths, as the first column."""
    data.insert(0, "position", (data["start"] + data["end"]) / 2 / tables.length)
    return data


def _wider_bins(frame: pd.DataFrame, length: int) -> pd.DataFrame:
    """Return the table with wider bins past L: :data:`BINS_PER_OCTAVE` per octave."""
    if frame.empty:
        return frame
    past = np.floor(np.log2(np.maximum(frame["start"], length) / length) * BINS_PER_OCTAVE + 1e-9)
    group = np.where(frame["start"] < length, frame["start"], length * (1 + past)).astype(int)
    edges = frame.groupby(group).agg(start=("start", "min"), end=("end", "max"))
    return frame.assign(start=edges["start"].loc[group].to_numpy(), end=edges["end"].loc[group].to_numpy())


@figure(
    title="Context gain",
    look=(
        "The loss on the same tokens with L tokens of context, minus the loss with another context. Past L: above 0 "
        "the model uses the longer context, at 0 it ignores it, below 0 the longer context harms it. Very wide "
        "intervals are cut, and marked there."
    ),
    alt="Loss saved on fixed tokens by longer contexts, one line per encoding, zero at the training length.",
    needs=("evaluation/context.parquet",),
)
def context_gain(tables: ArmTables) -> Drawing | None:
    """Draw the loss with L tokens of context minus the loss with another context, on the same tokens.

    Data, one row per encoding and context: ``context_in_lengths``, ``encoding``, ``context`` (tokens), ``estimate``
    (gain in nats per token), ``low``, ``high``, ``seeds``, ``units``.
    """
    frame = per_token(tables.read("context"), ["encoding", "context", "seed", "document"]).rename("loss").reset_index()
    at_length = frame[frame["context"] == tables.length]
    gains = [
        summarize(at_length, ["encoding"], "loss", "document", tables.confidence, minus=rows).assign(context=context)
        for context, rows in frame.groupby("context")
    ]
    data = pd.concat(gains).sort_values(["encoding", "context"], ignore_index=True)
    data.insert(1, "context", data.pop("context"))
    data.insert(0, "context_in_lengths", data["context"] / tables.length)
    figure, ((axes,),) = new_figure(7.6, 4.0)
    draw_lines(axes, tables, data, "context_in_lengths")
    show_most(axes, tables, data, "context_in_lengths")
    axes.axhline(0.0, color=MUTED, linewidth=1.0)
    axes.set_ylabel("context gain (nats/token)\n← context harms · context helps →")
    length_axis(axes, data["context_in_lengths"], "tokens of context, in training lengths L")
    name_lines(figure, [axes])
    return Drawing(figure, data)
