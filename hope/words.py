"""Numbers, lists and tables in words, the same in logs, terminals, figures, notebooks and the report."""

import math
from collections.abc import Collection, Sequence

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
    """Return ``[low, high]``, with the decimals of the largest of the three at three digits; empty if there is none."""
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
    return f"{value:z,.{max(0, 2 - magnitude)}f}".replace("-", MINUS)


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


def short(value: float) -> str:
    """Return a number with at most three digits and a letter for its size: 1.6M, 20k."""
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            digits = f"{value / unit:.3g}" if abs(value) < 999.5 * unit else f"{value / unit:.0f}"
            return f"{digits}{letter}".replace("-", MINUS)
    return f"{value:.3g}".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """Return a duration in seconds, minutes, hours or days."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 9.95 or seconds == 0 else f"{seconds:.1f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def plural(amount: int, noun: str) -> str:
    """Return a number with its noun, singular or plural."""
    ending = "" if amount == 1 else "es" if noun.endswith("s") else "s"
    return f"{amount:,} {noun}{ending}"


def small(amount: int) -> str:
    """Return a small number as a word."""
    names = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    return names[amount] if 0 <= amount < len(names) else str(amount)


def listed(items: list[str]) -> str:
    """Return items as a list in words: ``a, b and c``."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 2 else items) if items else ""


def size(amount: float) -> str:
    """Return a number of bytes in decimal units: 1.53 GB."""
    for unit, letter in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if amount >= unit:
            return f"{amount / unit:.3g} {letter}"
    return f"{amount / 1e3:.0f} kB"


def table(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Return rows as lines with aligned columns; those named in ``left`` to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
