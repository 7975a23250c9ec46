"""A judged part's effect and threshold in words."""

import math
from collections.abc import Mapping
from typing import Any

from hope.words import MINUS, interval, number, signed


def estimate_with_interval(row: Mapping[Any, Any]) -> str:
    """Return a judged part's effect in its own unit, with its interval."""
    if row.get("estimate") is None:
        return "–"
    numbers = f"{signed(row['estimate'])} {interval(row.get('low'), row.get('high'), row['estimate'])}".strip()
    return f"{numbers} {row.get('unit') or ''}".strip()


def threshold(row: Mapping[Any, Any]) -> str:
    """Return the smallest effect or margin of a part, in its own unit."""
    lower = row.get("direction") == "lower"
    if row.get("margin") is not None:
        sign = "±" if row.get("direction") == "equal" else "+" if lower else MINUS
        return f"allows {sign}{row['margin']:g}"
    if row.get("smallest_effect") is not None:
        return f"asks for {MINUS if lower else '+'}{row['smallest_effect']:g} or {'lower' if lower else 'more'}"
    return ""


def familiar(row: Mapping[Any, Any]) -> str:
    """Return a difference of losses as a change of perplexity, one of accuracies in points, else nothing."""
    for name, unit, behind in (("percent", "%", " in perplexity"), ("points", "", " points")):
        if _known(row, name):
            limits = ""
            if _known(row, f"{name}_low") and _known(row, f"{name}_high"):
                limits = f" [{_change(row[f'{name}_low'], unit)}, {_change(row[f'{name}_high'], unit)}]"
            return f"{_change(row[name], unit)}{limits}{behind}"
    return ""


def detectable(row: Mapping[Any, Any]) -> str:
    """Return the smallest detectable effect, in percent or points if possible; empty if unknown."""
    for name, behind in (("percent_detectable", "% in perplexity"), ("points_detectable", " points")):
        if _known(row, name):
            return f"{number(row[name], 2)}{behind}"
    return number(row["detectable"], 2) if _known(row, "detectable") else ""


def _known(row: Mapping[Any, Any], name: str) -> bool:
    return row.get(name) is not None and not math.isnan(row[name])


def _change(value: float, unit: str) -> str:
    decimals = 0 if abs(value) >= 20 else 1 if abs(value) >= 2 else 2
    return f"{value:+,.{decimals}f}{unit}".replace("-", MINUS)
