"""Numbers in words, the same in figures, notebooks and the report."""

import math
from collections.abc import Mapping
from typing import Any

MINUS = "−"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with ``digits`` significant digits, without an exponent if possible; a dash for None."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -5 or magnitude > 8:
        return f"{value:.{digits - 1}e}".replace("-", MINUS)
    decimals = max(0, digits - 1 - magnitude)
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """Return a number with its sign."""
    text = number(value, digits)
    return f"+{text}" if value is not None and math.isfinite(value) and value > 0 else text


def interval(low: float | None, high: float | None, estimate: float | None = None) -> str:
    """Return ``[low, high]`` with the decimals of the estimate at three digits; empty if there is no interval."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    scale = max(abs(value) for value in (low, high, estimate or 0.0))
    return f"[{_aligned(low, scale)}, {_aligned(high, scale)}]"


def _aligned(value: float, scale: float) -> str:
    """Return a number with the decimals of ``scale`` at three digits."""
    if scale == 0:
        return "0"
    magnitude = math.floor(math.log10(scale))
    if magnitude < -5 or magnitude > 8:
        return number(value)
    return f"{value:,.{max(0, 2 - magnitude)}f}".replace("-", MINUS)


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


def p_value(value: float | None) -> str:
    """Return a p value as written in papers."""
    if value is None or not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def count(value: float | int) -> str:
    """Return a count in words: 1.6 million, 640,000."""
    for size, unit in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.0f}"


def seconds(value: float | None) -> str:
    """Return a duration in seconds, minutes, hours or days."""
    if value is None or not math.isfinite(value):
        return "–"
    if value < 90:
        return f"{value:.0f} s" if value >= 9.95 else f"{value:.1f} s"
    if value < 5_400:
        return f"{value / 60:.1f} min"
    return f"{value / 3_600:.1f} h" if value < 172_800 else f"{value / 86_400:.1f} days"


def plural(amount: int, noun: str) -> str:
    """Return a number with its noun, singular or plural."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def small(amount: int) -> str:
    """Return a small number as a word."""
    names = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    return names[amount] if 0 <= amount < len(names) else str(amount)


def listed(items: list[str]) -> str:
    """Return items as a list in words: ``a, b and c``."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 2 else items) if items else ""
