"""The figure of length extensions: the loss within and past L, by extension and factor, beside the model as trained."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hope.measures import length_name
from hope.measures.losses import loss_between, octaves
from hope.reporting.estimates import summarize
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.limits import limits_of, mark_cuts
from hope.reporting.figures.style import MUTED, RULE, EncodingStyle, new_figure
from hope.reporting.study_tables import ArmTables
from hope.reporting.summaries import BASELINE

_BY = ["extension", "encoding", "range"]
_NUMBERS = ["estimate", "low", "high"]


@figure(
    title="Length extensions",
    look=(
        "The loss of the trained models with their angles rescaled at evaluation, without training. Dotted upright "
        "lines are the models as trained: left of an encoding's line the extension helps it. The first panel shows the "
        "cost within L. An encoding to which an extension does not apply has no mark. Very wide intervals are cut, and "
        "marked there."
    ),
    alt="Loss within the training length and in each octave past it, one row per length extension, by encoding.",
    needs=("evaluation/extrapolation.parquet",),
)
def extensions(tables: ArmTables) -> Drawing | None:
    """Draw the loss of each encoding that takes an extension, one row per extension and one panel per octave past L.

    Drawn are differences to RoPE as trained (or to the first encoding that takes an extension), paired by seed and
    document. None if no encoding takes an extension of the study.

    Data, one row per extension, encoding and range of positions: ``extension``, ``kind``, ``factor``, ``encoding``,
    ``from_multiple`` and ``to_multiple`` (of L), ``seeds``, ``units``, ``estimate`` (loss in nats per token), ``low``,
    ``high``; ``change`` (to the same encoding as trained) and ``difference`` (to ``baseline`` as trained), each with
    ``_low`` and ``_high``.
    """
    frame = tables.read("extrapolation", extended=True)
    if (frame["extension"] == "none").all():
        return None
    taken = set(frame.loc[frame["extension"] != "none", "encoding"])
    losses = _losses(frame[frame["encoding"].isin(taken)], tables)
    encodings = [name for name in tables.encodings if name in taken]
    baseline = BASELINE if BASELINE in taken else encodings[0]
    data = _with_differences(losses, tables, baseline)
    shown = [entry.label for entry in tables.arm.extrapolation.extensions if entry.label in set(data["extension"])]
    rows = ["none", *shown]
    ranges = sorted(set(data["range"]))
    lane = 0.8 / len(encodings)
    height = len(rows) * max(0.24, 0.11 * len(encodings)) + 1.1
    figure, (panels,) = new_figure(1.7 + 1.75 * len(ranges), height, 1, len(ranges), sharey=True)
    for axes, number in zip(panels, ranges, strict=True):
        panel = data[data["range"] == number]
        _frame(axes, rows, number, panel)
        for place, encoding in enumerate(encodings):
            own = panel[panel["encoding"] == encoding].set_index("extension").reindex(rows)
            heights = np.arange(len(rows)) + (place - (len(encodings) - 1) / 2) * lane
            _marks(axes, own, heights, tables.styles[encoding], tables.label(encoding))
    panels[0].set_yticks(range(len(rows)), ["as trained", *shown], fontsize=8.5)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    words = f"loss minus that of {baseline} as trained (nats/token)"
    panels[len(panels) // 2].set_xlabel(f"{words}\n← lower loss · higher loss →")
    add_legend(figure)
    columns = ["extension", "kind", "factor", "encoding", "from_multiple", "to_multiple", "seeds", "units", *_NUMBERS]
    return Drawing(figure, data[[*columns, *_named("change"), "baseline", *_named("difference")]])


def _named(name: str) -> list[str]:
    """Return the names of the columns of an estimate and its interval."""
    return [name, f"{name}_low", f"{name}_high"]


def _losses(frame: pd.DataFrame, tables: ArmTables) -> pd.DataFrame:
    """Return the loss of each document by extension, encoding, seed and range: 0 within L, 1 to 2L, 2 to 4L, ..."""
    ends = [1.0, *octaves(tables.arm.extrapolation.longest)]
    cells = ["extension", "encoding", "seed", "document"]
    parts = [
        loss_between(frame, end // 2 * tables.length, end * tables.length, cells).rename("loss").reset_index()
        for end in ends
    ]
    return pd.concat([part.assign(range=number) for number, part in enumerate(parts)], ignore_index=True)


def _with_differences(losses: pd.DataFrame, tables: ArmTables, baseline: str) -> pd.DataFrame:
    """Return the mean loss of each cell and its paired differences.

    ``change`` is the difference to the same encoding as trained, ``difference`` that to the baseline as trained.
    """
    data = summarize(losses, _BY, "loss", "document", tables.confidence)
    trained = losses[losses["extension"] == "none"]
    reference = trained[trained["encoding"] == baseline]
    changes: list[pd.DataFrame] = []
    differences: list[pd.DataFrame] = []
    for (extension, encoding), part in losses.groupby(["extension", "encoding"]):
        cell = {"extension": str(extension), "encoding": str(encoding)}
        for parts, minus in ((changes, trained[trained["encoding"] == encoding]), (differences, reference)):
            paired = summarize(part, ["range"], "loss", "document", tables.confidence, minus=minus)
            parts.append(paired.assign(**cell)[[*_BY, *_NUMBERS]])
    for name, parts in (("change", changes), ("difference", differences)):
        names = dict(zip(_NUMBERS, _named(name), strict=True))
        data = data.merge(pd.concat(parts).rename(columns=names), on=_BY, how="left")
    data["baseline"] = baseline
    known: dict[str, Any] = {entry.label: entry for entry in tables.arm.extrapolation.extensions}
    data["kind"] = [getattr(known.get(label), "kind", "") for label in data["extension"]]
    data["factor"] = [getattr(known.get(label), "factor", np.nan) for label in data["extension"]]
    data["from_multiple"] = np.where(data["range"] == 0, 0.0, 2.0 ** (data["range"] - 1))
    data["to_multiple"] = 2.0 ** data["range"]
    return data


def _marks(axes: Axes, own: pd.DataFrame, heights: np.ndarray, style: EncodingStyle, label: str) -> None:
    """Draw one encoding's differences and intervals at their heights, and a line at its difference as trained.

    The limits of the axes are set.
    """
    look = style.line(linestyle="none", markersize=4.2)
    axes.plot(own["difference"], heights, label=label, zorder=4, **look)
    axes.hlines(heights, own["difference_low"], own["difference_high"], color=style.color, linewidth=1.3, zorder=3)
    mark_cuts(axes, "x", heights, own["difference_low"], own["difference_high"], style.color)
    axes.axvline(own["difference"].iloc[0], color=style.color, linewidth=0.8, linestyle=(0, (1, 2)), zorder=2)


def _frame(axes: Axes, rows: list[str], number: int, panel: pd.DataFrame) -> None:
    """Set a panel's title and axes."""
    axes.set_title("within L" if number == 0 else f"{length_name(2.0 ** (number - 1))} to {length_name(2.0**number)}")
    for row in range(1, len(rows)):
        axes.axhline(row - 0.5, color=RULE if row > 1 else MUTED, linewidth=0.6, zorder=1)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    low, high = limits_of(panel["difference"], panel["difference_low"], panel["difference_high"])
    room = 0.08 * (high - low) or 0.1
    axes.set_xlim(low - room, high + room)
