"""The figure of the verdicts: every claim, and the primary endpoint of each part that decides."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from hope.reporting.effects import familiar, threshold
from hope.reporting.figures.data import Drawing
from hope.reporting.figures.declaration import figure
from hope.reporting.figures.style import INK, MUTED, RULE, SYMBOLS, VERDICTS
from hope.reporting.study_tables import StudyTables
from hope.words import interval, signed

_WRAP = 60
"""Most characters in a line of a part's statement."""
_LINE = 0.17
"""Height of a line of text, in inches."""
_LINEAR = 2.0
"""The axis is linear up to this many thresholds and logarithmic beyond."""
_COLUMNS = [
    "claim", "title", "part", "statement", "decides", "kind", "verdict", "claim_verdict", "estimate", "low", "high",
    "unit", "smallest_effect", "margin", "direction", "relative", "relative_low", "relative_high", "seeds", "units",
    "p", "holm_p", "detectable", "percent", "percent_low", "percent_high", "points", "points_low", "points_high",
]  # fmt: skip


@figure(
    title="All claims at a glance",
    look=(
        "Effects are in units of the smallest effect that counts (the upright stroke); the claimed side is right of 0. "
        "For a non-inferiority the stroke is the margin. A bar is the interval, a diamond an exact number. "
        "Colour is the verdict, grey if inconclusive. Verdicts include Holm's correction and bars do not, so that a "
        "grey bar may exclude 0 or the stroke. Beyond 2 the axis is logarithmic."
    ),
    alt="Forest plot of the primary endpoint of every part of every claim, with intervals and thresholds.",
    needs=("claims.json",),
    across=True,
)
def claims(tables: StudyTables) -> Drawing | None:
    """Draw a forest plot: effects and intervals in units of the smallest effect that counts, the claimed side right.

    Data, one row per part of a claim: ``claim``, ``title`` and ``claim_verdict`` of the claim; ``part``,
    ``statement``, ``decides``, ``kind`` and ``verdict`` of the part; ``estimate``, ``low`` and ``high`` in ``unit``;
    ``smallest_effect`` or ``margin``, ``direction``; ``relative``, ``relative_low`` and ``relative_high`` (the effect
    in those units, positive on the claimed side); ``seeds``, ``units``, ``p``, ``holm_p``, ``detectable``; the effect
    as ``percent`` of perplexity or accuracy ``points``, each with ``_low`` and ``_high``.
    """
    judged = tables.judged["claims"]
    rows = [_row(claim, part) for claim in judged for part in claim["parts"]]
    if not rows:
        return None
    data = pd.DataFrame(rows, columns=_COLUMNS)
    lines: list[tuple[str, Any, float]] = []
    for claim in judged:
        lines.append(("claim", claim, 1.7))
        for part in (part for part in claim["parts"] if part["decides"]):
            text = textwrap.wrap(part["statement"], _WRAP)
            lines.append(("part", (part, text), max(3 if familiar(part) else 2, len(text)) + 0.6))
    extent = sum(height for _, _, height in lines)
    height = extent * _LINE + 0.85
    figure = Figure(figsize=(9.6, height))
    axes = figure.add_axes((0.44, 0.62 / height, 0.235, extent * _LINE / height))
    axes.set_ylim(extent, 0)
    _frame(axes, data)
    top = 0.0
    for kind, content, size in lines:
        if kind == "claim":
            _claim_line(figure, axes, content, top + size - 0.62, top)
        else:
            _part_line(axes, content[0], content[1], top, size)
        top += size
    return Drawing(figure, data)


def _row(claim: dict, part: dict) -> dict[str, Any]:
    """Return the row of one part; its relative numbers are positive on the claimed side."""
    bar = part.get("smallest_effect") or part.get("margin")
    sign = -1.0 if part.get("direction") == "lower" else 1.0
    relative: dict[str, float | None] = {"relative": None, "relative_low": None, "relative_high": None}
    if bar:
        scaled = [None if part[key] is None else sign * part[key] / bar for key in ("estimate", "low", "high")]
        ends = sorted(end for end in scaled[1:] if end is not None)
        relative = {
            "relative": scaled[0],
            "relative_low": ends[0] if ends else None,
            "relative_high": ends[-1] if ends else None,
        }
    numbers = {key: part.get(key) for key in _COLUMNS if key in part}
    named = {"claim": claim["id"], "title": claim["title"], "part": part["id"], "claim_verdict": claim["verdict"]}
    return numbers | relative | named


def _frame(axes: Axes, data: pd.DataFrame) -> None:
    """Set the scale, limits, ticks and label of the x axis, and draw its zero."""
    ends = data.loc[data["decides"].astype(bool), ["relative", "relative_low", "relative_high"]].to_numpy(float)
    ends = ends[np.isfinite(ends)] * 1.4
    low, farthest = min([-_LINEAR, *ends]), max([_LINEAR * 1.5, *np.abs(ends)])
    axes.set_xscale("symlog", linthresh=_LINEAR, linscale=0.9)
    axes.set_xlim(low, farthest)
    powers = [value for value in (10.0, 100.0, 1000.0) if value <= max(farthest, -low)]
    ticks = [value for value in [*(-p for p in reversed(powers)), -1.0, 0.0, 1.0, *powers] if low <= value <= farthest]
    axes.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks], fontsize=8.5)
    axes.set_xticks([], minor=True)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.axvline(0.0, color=MUTED, linewidth=1.0, zorder=1)
    axes.set_xlabel("effect, in units of the smallest that counts\n← against the claim · as claimed →", fontsize=8.5)


def _claim_line(figure: Figure, axes: Axes, claim: dict, y: float, top: float) -> None:
    """Write a claim's title and verdict across the whole width."""
    across = blended_transform_factory(figure.transFigure, axes.transData)
    axes.plot([0.01, 0.99], [top + 0.1] * 2, color=RULE, linewidth=0.8, transform=across, clip_on=False)
    axes.text(0.01, y, f"{claim['id']}  {claim['title']}", transform=across, va="center", weight="bold", fontsize=9.5)
    verdict = claim["verdict"]
    words = f"{SYMBOLS[verdict]} {verdict}"
    axes.text(
        0.69, y, words, transform=across, va="center", weight="bold", fontsize=9.5, color=VERDICTS[verdict]
    )  # fmt: skip


def _part_line(axes: Axes, part: dict, text: list[str], top: float, size: float) -> None:
    """Draw one part: its statement, interval and numbers."""
    across = blended_transform_factory(axes.figure.transFigure, axes.transData)
    y = top + size / 2
    color = VERDICTS[part["verdict"]]
    axes.text(0.028, y, "\n".join(text), transform=across, va="center", fontsize=8.6, linespacing=1.15)
    if part["estimate"] is None:
        words = "not measured" if "not_measured" in part else "no endpoint in this study"
        axes.text(0.69, y, words, transform=across, va="center", fontsize=8.6, color=MUTED)
        return
    row = _row({"id": "", "title": "", "verdict": ""}, part)
    for bar in _bars(part):
        axes.plot([bar, bar], [y - 0.55, y + 0.55], color=INK, linewidth=1.3, zorder=2)
    if row["relative_low"] is not None:
        axes.plot([row["relative_low"], row["relative_high"]], [y, y], color=color, linewidth=2.2, zorder=3)
    marker = "D" if part["kind"] == "exact" else "o"
    axes.plot(row["relative"], y, marker=marker, markersize=6, color=color, zorder=4)
    numbers = f"{signed(part['estimate'])} {interval(part['low'], part['high'], part['estimate'])}"
    numbers += f"\n{part['unit']}; {threshold(part)}"
    numbers += f"\n{familiar(part)}" if familiar(part) else ""
    axes.text(0.69, y, numbers, transform=across, va="center", fontsize=7.9, linespacing=1.2)


def _bars(part: dict) -> list[float]:
    """Return the places of the threshold: 1 for a smallest effect; for a margin -1, or both for equivalence."""
    if part.get("margin") is None:
        return [1.0]
    return [-1.0, 1.0] if part["direction"] == "equal" else [-1.0]
