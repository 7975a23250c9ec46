"""Figures of what the models do: loss by position, context gain, retrieval, and how they trained."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from hope.measures.losses import per_token
from hope.reporting.estimates import summarize
from hope.reporting.figures.data import Drawing, band
from hope.reporting.figures.legends import FEW, add_legend, name_lines
from hope.reporting.figures.style import MUTED, length_axis, new_figure
from hope.reporting.study_tables import StudyTables
from hope.reporting.summaries import baseline_of

BINS_PER_OCTAVE = 4
"""Points of the loss past L in each doubling of the position."""


def loss_by_position(tables: StudyTables) -> Drawing | None:
    """Draw the loss at each position, and its paired difference to the baseline's."""
    frame = _wider_bins(tables.read("extrapolation"), tables.length)
    if frame.empty:
        return None
    frame = per_token(frame, ["encoding", "start", "end", "seed", "document"]).rename("loss").reset_index()
    losses = summarize(frame, ["encoding", "start", "end"], "loss", "document", tables.confidence)
    parts = [losses.assign(measure="loss")]
    for encoding in tables.encodings:
        baseline = baseline_of(tables.study, encoding)
        own, reference = (frame[frame["encoding"] == name] for name in (encoding, baseline))
        if not own.empty and not reference.empty:
            difference = summarize(own, ["start", "end"], "loss", "document", tables.confidence, minus=reference)
            parts.append(difference.assign(encoding=encoding, baseline=baseline, measure="difference"))
    data = pd.concat(parts, ignore_index=True)
    data.insert(0, "position", (data["start"] + data["end"]) / 2 / tables.length)
    panels = list(dict.fromkeys(data["measure"]))
    heights = [1.15, 1.0][: len(panels)]
    figure, rows = new_figure(7.6, 2.9 * len(panels) + 0.5, len(panels), 1, sharex=True, height_ratios=heights)
    baselines = " or ".join(data["baseline"].dropna().unique()) if "baseline" in data else ""
    titles = {"loss": "Loss at each position", "difference": f"Difference to {baselines}, paired by seed and document"}
    for panel, (axes,) in zip(panels, rows, strict=True):
        drawn = data[data["measure"] == panel]
        _lines(axes, tables, drawn, "position")
        _frame(axes, drawn)
        axes.set_title(titles[panel])
        axes.set_ylabel("loss (nats/token)" if panel == "loss" else "loss difference (nats/token)")
        if panel == "difference":
            axes.axhline(0.0, color=MUTED, linewidth=1.0)
        length_axis(axes, drawn["position"], "")
    rows[-1][0].set_xlabel("position in the window, in training lengths L")
    name_lines(figure, [axes for (axes,) in rows])
    return Drawing(figure, data)


def _wider_bins(frame: pd.DataFrame, length: int) -> pd.DataFrame:
    """Return the table with its bins past L put into ``BINS_PER_OCTAVE``: evenly wide on the logarithmic axis."""
    if frame.empty:
        return frame
    past = np.floor(np.log2(np.maximum(frame["start"], length) / length) * BINS_PER_OCTAVE + 1e-9)
    group = np.where(frame["start"] < length, frame["start"], length * (1 + past)).astype(int)
    edges = frame.groupby(group).agg(start=("start", "min"), end=("end", "max"))
    return frame.assign(start=edges["start"].loc[group].to_numpy(), end=edges["end"].loc[group].to_numpy())


def context_gain(tables: StudyTables) -> Drawing | None:
    """Draw the loss with L tokens of context minus the loss with another context, on the same tokens."""
    frame = tables.read("context")
    if frame.empty:
        return None
    frame = per_token(frame, ["encoding", "context", "seed", "document"]).rename("loss").reset_index()
    at_length = frame[frame["context"] == tables.length]
    gains = [
        summarize(at_length, ["encoding"], "loss", "document", tables.confidence, minus=rows).assign(context=context)
        for context, rows in frame.groupby("context")
    ]
    data = pd.concat(gains).sort_values(["encoding", "context"], ignore_index=True)
    data.insert(1, "context", data.pop("context"))
    data.insert(0, "context_in_lengths", data["context"] / tables.length)
    figure, ((axes,),) = new_figure(7.6, 4.0)
    _lines(axes, tables, data, "context_in_lengths")
    _frame(axes, data)
    axes.axhline(0.0, color=MUTED, linewidth=1.0)
    axes.set_ylabel("context gain (nats/token)\n← is harmed by it · uses it →")
    length_axis(axes, data["context_in_lengths"], "tokens of context, in training lengths L")
    name_lines(figure, [axes])
    return Drawing(figure, data)


def retrieval(tables: StudyTables) -> Drawing | None:
    """Draw token accuracy by prompt length, a panel a task, with the chance level."""
    frame = tables.read("retrieval")
    if frame.empty:
        return None
    by = ["task", "trained", "encoding", "length"]
    data = summarize(frame, by, "accuracy", "example", tables.confidence)
    data[["low", "high"]] = data[["low", "high"]].clip(0, 1)
    chance = frame.groupby(["task", "length"])["chance"].mean().reset_index()
    data = data.merge(chance, on=["task", "length"])
    data.insert(0, "length_in_lengths", data["length"] / tables.length)
    tasks = [task for task in tables.study.retrieval.tasks if task in set(data["task"])]
    columns = min(2, len(tasks))
    lines = -(-len(tasks) // columns)
    figure, rows = new_figure(7.6 if columns > 1 else 5.6, 3.3 * lines + 0.4, lines, columns, sharey=True)
    grid = [axes for row in rows for axes in row]
    for axes, task in zip(grid, tasks, strict=False):
        drawn = data[data["task"] == task]
        trained = sorted(set(drawn["trained"]))
        _lines(axes, tables, drawn, "length_in_lengths")
        level = drawn.drop_duplicates("length").sort_values("length")
        axes.plot(
            level["length_in_lengths"],
            level["chance"],
            color=MUTED,
            linestyle=(0, (1, 1)),
            linewidth=1.3,
            label="chance",
        )
        words = {(True,): "trained", (False,): "untrained"}.get(tuple(trained), "trained in some")
        axes.set_title(f"{task} ({words})")
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
        length_axis(axes, drawn["length_in_lengths"], "prompt length, in training lengths L")
    for row in rows:
        row[0].set_ylabel("answer tokens right")
    for axes in grid[len(tasks) :]:
        axes.set_visible(False)
    add_legend(figure)
    return Drawing(figure, data)


def training_loss(tables: StudyTables) -> Drawing | None:
    """Draw the losses over training: the mean over seeds as a line, each seed thin behind it."""
    frame = tables.read("history")
    if frame.empty:
        return None
    names = {"text_loss": "Text", "synthetic_loss": "Synthetic examples (answers only)"}
    shown = [column for column in names if column in frame and (frame[column].notna() & (frame[column] != 0)).any()]
    if not shown:
        shown, names = ["loss"], {"loss": "Loss"}
    keys = ["encoding", "seed", "step", "tokens"]
    long = (
        frame[[*keys, *shown]].melt(keys, shown, "part", "nats").dropna(subset="nats").rename(columns={"nats": "loss"})
    )
    long["part"] = long["part"].str.removesuffix("_loss")
    figure, rows = new_figure(7.6 if len(shown) > 1 else 5.6, 3.5, 1, len(shown))
    for axes, column in zip(rows[0], shown, strict=True):
        part = long[long["part"] == column.removesuffix("_loss")]
        for encoding in tables.encodings:
            own, style = part[part["encoding"] == encoding], tables.styles[encoding]
            if own.empty or (own["loss"] == 0).all():  # an arm that trains on text alone has no such loss
                continue
            for _, run in own.groupby("seed"):
                axes.plot(run["tokens"], run["loss"], color=style.color, linewidth=0.6, alpha=0.45)
            mean = own.groupby("tokens")["loss"].mean()
            every = max(1, len(mean) // 8)
            axes.plot(mean.index, mean, label=tables.label(encoding), markevery=every, **style.line())
        axes.set_title(names[column])
        axes.set_xlabel("tokens seen")
        axes.xaxis.set_major_formatter(FuncFormatter(_tokens_in_words))
        high = np.nanquantile(part["loss"], 0.995)
        axes.set_ylim(max(0.0, part["loss"].min() * 0.95), high * 1.05)
    rows[0][0].set_ylabel("loss (nats/token)")
    add_legend(figure)
    return Drawing(figure, long.sort_values(["part", "encoding", "seed", "step"], ignore_index=True))


def _lines(axes: Axes, tables: StudyTables, data: pd.DataFrame, x: str) -> None:
    """Draw one line an encoding, in the config's order; of many, HoPE and its baseline stand out."""
    many = len(tables.encodings) > FEW
    compared = {"hope", baseline_of(tables.study, "hope")}
    for encoding in tables.encodings:
        rows = data[data["encoding"] == encoding].sort_values(x)
        if rows.empty:
            continue
        every = 0.09 if len(rows) > 12 else 1  # a share of the figure: even gaps on a logarithmic axis
        label = tables.label(encoding, int(rows["seeds"].max()))
        look: dict[str, Any] = {"markevery": every, "zorder": 4 if rows["low"].notna().any() else 3}
        if many and encoding in compared:
            look |= {"linewidth": 1.9, "zorder": 5}
        elif many:
            look |= {"linewidth": 1.1, "markersize": 3.8, "shade": 0.06}
        band(axes, rows[x], rows, tables.styles[encoding], label, **look)


def _frame(axes: Axes, data: pd.DataFrame) -> None:
    """Set the y limits to show every line and most of the bands: a few endless ones would flatten the rest."""
    low = min([data["estimate"].min(), *data["low"].dropna().quantile([0.1])])
    high = max([data["estimate"].max(), *data["high"].dropna().quantile([0.9])])
    room = 0.06 * (high - low) or 0.1
    axes.set_ylim(low - room, high + room)


def _tokens_in_words(value: float, _: object) -> str:
    """Return a number of tokens with its unit: 1.6M, 20k."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
