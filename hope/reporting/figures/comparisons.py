"""Forest plots of all comparisons: every encoding against RoPE, and against HoPE, in every measure."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hope.measures import Endpoint
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.legends import broken
from hope.reporting.figures.limits import limits_of, mark_cuts
from hope.reporting.figures.style import INK, MUTED, RULE, EncodingStyle, new_figure
from hope.reporting.study_tables import ArmTables
from hope.reporting.summaries import baseline_of
from hope.words import MINUS, short

_LINE = 0.155
"""Height of a row, in inches."""
_WIDEST = 16
"""Most characters in a line of a name above a column."""
_PERCENT = (-90.0, -50.0, -20.0, -5.0, -1.0, -0.2, 0.0, 0.2, 1.0, 5.0, 20.0, 100.0, 1000.0)
"""Possible ticks for changes of perplexity."""
_LINEAR = 5.0
"""The axis of perplexity is linear up to this change, in percent."""
_POINTS = "accuracy, points"
_PERPLEXITY = "perplexity, percent"


@figure(
    title="All comparisons with RoPE",
    look=(
        "Every measure in which encodings are compared, one column per encoding of several seeds. Diamonds are primary "
        "endpoints of claims; circles are exploratory and decide no verdict. A filled mark differs from 0 and "
        "stays significant after Holm's correction within its family; the p of a primary endpoint is that of the "
        "claim's own test. Intervals are not corrected; very wide ones are cut, and marked there. Percent are "
        "logarithmic beyond 5."
    ),
    alt="Forest plot of the differences of every encoding to RoPE in every measure, with intervals.",
    needs=("tables/comparisons.parquet",),
)
def comparisons(tables: ArmTables) -> Drawing | None:
    """Draw every encoding against RoPE.

    Data, the rows of ``tables/comparisons.parquet`` that have an interval: ``family`` (primary or exploratory),
    ``arm``; the endpoint's ``measure``, ``task``, ``multiple``, ``depth``, ``extension``, ``intervention`` and
    ``components``; ``encoding``, ``baseline``, ``better`` (lower or higher); ``estimate``, ``low``, ``high``, ``df``,
    ``seeds``, ``units`` and ``detectable`` on the measure's ``scale``; the same as ``percent`` of perplexity or
    accuracy ``points``, with ``_low``, ``_high`` and ``_detectable``; ``p``, ``holm_p``, ``tests`` (in the family),
    ``unit`` (of the axis).
    """
    return _forest(tables, "rope")


@figure(
    title="All comparisons with HoPE",
    look=(
        "Every measure in which encodings are compared, one column per encoding of several seeds. Diamonds are primary "
        "endpoints of claims; circles are exploratory and decide no verdict. A filled mark differs from 0 and "
        "stays significant after Holm's correction within its family; the p of a primary endpoint is that of the "
        "claim's own test. Intervals are not corrected; very wide ones are cut, and marked there. Percent are "
        "logarithmic beyond 5."
    ),
    alt="Forest plot of the differences of every encoding to HoPE in every measure, with intervals.",
    needs=("tables/comparisons.parquet",),
)
def comparisons_hope(tables: ArmTables) -> Drawing | None:
    """Draw every encoding against HoPE, except RoPE, which the other figure compares with HoPE.

    Data: the same columns as those of :func:`comparisons`.
    """
    return _forest(tables, "hope")


def _forest(tables: ArmTables, family: str) -> Drawing | None:
    """Draw one row per endpoint and one column per encoding; return None if no pair has several seeds."""
    table = tables.summary("comparisons")
    table["endpoint"] = [Endpoint.of(row).words for row in table.to_dict("records")]
    baselines = {name: baseline_of(tables.arm, name, family) for name in tables.encodings}
    ours = table["encoding"].map(baselines) == table["baseline"]
    data = _in_units(table[ours & table["low"].notna()])
    if data.empty:
        return None
    encodings = [name for name in tables.encodings if name in set(data["encoding"])]
    blocks = {str(unit): list(dict.fromkeys(part["endpoint"])) for unit, part in data.groupby("unit", sort=False)}
    rows = sum(map(len, blocks.values()))
    heights = [len(endpoints) + 0.6 for endpoints in blocks.values()]
    height = _LINE * rows + 0.62 * len(blocks) + 0.7
    figure, grid = new_figure(
        2.1 + max(2.2, 1.25 * len(encodings)), height, len(blocks), len(encodings), sharey="row", height_ratios=heights
    )
    for (unit, endpoints), panels in zip(blocks.items(), grid, strict=True):
        block = data[data["unit"] == unit]
        for axes, encoding in zip(panels, encodings, strict=True):
            own = block[block["encoding"] == encoding].set_index("endpoint")
            _scale(axes, block, unit)
            _column(axes, own, endpoints, tables.styles[encoding], 1 - tables.confidence)
        _name_rows(panels[0], endpoints, block)
        panels[0].annotate(
            unit, (0, 1), (-6, 4), "axes fraction", "offset points", ha="right", fontsize=8.5, weight="bold"
        )  # fmt: skip
    for axes, encoding in zip(grid[0], encodings, strict=True):
        axes.set_title(
            broken(encoding, _WIDEST) + "\n" + broken(f"{MINUS} {baselines[encoding]}", _WIDEST), fontsize=8.5
        )
    _explain(figure, data, columns=3 if len(encodings) > 3 else 1)
    return Drawing(figure, data.drop(columns=["endpoint", "shown", "shown_low", "shown_high"]))


def _in_units(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the numbers drawn: percent of perplexity, points, or the measure's own scale."""
    table = table.copy()
    names = {"shown": "estimate", "shown_low": "low", "shown_high": "high"}
    percent, points = table["percent"].notna(), table["points"].notna()
    for shown, plain in names.items():
        end = shown.removeprefix("shown")
        table[shown] = table[plain].mask(percent, table[f"percent{end}"]).mask(points, table[f"points{end}"])
    table["unit"] = table["scale"].mask(percent, _PERPLEXITY).mask(points, _POINTS)
    return table.reset_index(drop=True)


def _column(axes: Axes, own: pd.DataFrame, endpoints: list[str], style: EncodingStyle, alpha: float) -> None:
    """Draw one encoding's differences in the endpoints of a block; the limits of the axes are set."""
    axes.axvline(0.0, color=MUTED, linewidth=0.9, zorder=1)
    for place, endpoint in enumerate(endpoints):
        axes.axhline(place, color=RULE, linewidth=0.4, zorder=0)
        if endpoint not in own.index:
            continue
        row = own.loc[endpoint]
        # A primary p belongs to the claim's own test, which may be against a bar other than 0.
        excludes_none = row["low"] > 0 or row["high"] < 0
        primary, sure = row["family"] == "primary", row["holm_p"] < alpha and excludes_none
        axes.plot([row["shown_low"], row["shown_high"]], [place, place], color=style.color, linewidth=1.2, zorder=3)
        face = style.color if sure else "white"
        look: dict[str, Any] = {
            "marker": "D" if primary else "o",
            "markersize": 4.6 if primary else 3.8,
            "markeredgewidth": 0.9,
        }
        axes.plot(row["shown"], place, color=style.color, markerfacecolor=face, markeredgecolor=style.color,
                  zorder=4, **look)  # fmt: skip
    places = [place for place, endpoint in enumerate(endpoints) if endpoint in own.index]
    there = own.loc[[endpoints[place] for place in places]]
    mark_cuts(axes, "x", places, there["shown_low"], there["shown_high"], style.color)
    axes.set_ylim(len(endpoints) - 0.4, -0.6)
    axes.grid(visible=False)


def _scale(axes: Axes, block: pd.DataFrame, unit: str) -> None:
    """Set the x axis of a block, the same for all encodings."""
    axes.tick_params(axis="x", labelsize=7)
    if unit == _PERPLEXITY:
        axes.set_xscale("symlog", linthresh=_LINEAR, linscale=0.7)
    # What is wide is so on the axis: percent are logarithmic.
    scale = axes.xaxis.get_transform()
    shown = (scale.transform(block[name].to_numpy()) for name in ("shown", "shown_low", "shown_high"))
    low, high = limits_of(*shown)
    low, high = min(low, 0.0), max(high, 0.0)
    room = 0.06 * (high - low) or 0.1
    low, high = (float(end) for end in scale.inverted().transform(np.array([low - room, high + room])))
    if unit == _PERPLEXITY:
        ticks = [tick for tick in _PERCENT if low <= tick <= high]
        ticks = sorted({ticks[0], 0.0, ticks[-1]})  # more would run into each other in so narrow a panel
        axes.set_xticks(ticks, [f"{tick:+g}".replace("-", MINUS) if tick else "0" for tick in ticks])
        axes.set_xticks([], minor=True)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.set_xlim(low, high)


def _name_rows(axes: Axes, endpoints: list[str], block: pd.DataFrame) -> None:
    """Write the endpoints' names, in bold if the endpoint is primary for some pair."""
    primary = set(block.loc[block["family"] == "primary", "endpoint"])
    axes.set_yticks(range(len(endpoints)), endpoints, fontsize=7.5)
    for label, endpoint in zip(axes.get_yticklabels(), endpoints, strict=True):
        label.set_fontweight("bold" if endpoint in primary else "normal")


def _explain(figure: Figure, data: pd.DataFrame, columns: int) -> None:
    """Add the legend of the marks that occur."""
    look: dict[str, Any] = {"linestyle": "none", "color": INK, "markeredgecolor": INK}
    entries = {
        "primary endpoint": Line2D([], [], marker="D", markersize=4.6, markerfacecolor=INK, **look),
        "exploratory": Line2D([], [], marker="o", markersize=3.8, markerfacecolor=INK, **look),
        "not after Holm's correction": Line2D([], [], marker="o", markersize=3.8, markerfacecolor="white", **look),
    }
    for family, name in (("primary", "primary endpoint"), ("exploratory", "exploratory")):
        if family not in set(data["family"]):
            del entries[name]
    figure.legend(list(entries.values()), list(entries), loc="outside upper left", ncols=columns, fontsize=8)
