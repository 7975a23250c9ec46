"""Numbers, durations and tables in words."""

import math

import pytest

from hope import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (math.inf, "–"),
        (0, "0 s"),
        (4.21, "4.2 s"),
        (9.96, "10 s"),
        (89, "89 s"),
        (90, "1.5 min"),
        (5399, "90.0 min"),
        (5400, "1.5 h"),
        (400_000, "4.6 days"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(-0.0107, 0.0237, "[−0.0107, 0.0237]"), (-0.001, 5.0, "[0.00, 5.00]"), (0.0, 0.0, "[0, 0]"), (None, 1.0, "")],
)
def test_intervals(low: float | None, high: float | None, text: str) -> None:
    assert words.interval(low, high, 0.0) == text


@pytest.mark.parametrize(("amount", "text"), [(1_000, "1 kB"), (1_530_000, "1.53 MB"), (2.5e12, "2.5 TB")])
def test_sizes(amount: float, text: str) -> None:
    assert words.size(amount) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-0.25, "−0.25"), (999, "999"), (20_000, "20k"), (1_554_321, "1.55M"), (999_600, "1000k")],
)
def test_short_numbers(value: float, text: str) -> None:
    assert words.short(value) == text


def test_plural() -> None:
    assert [words.plural(1, "process"), words.plural(2, "process"), words.plural(1_200, "step")] == [
        "1 process",
        "2 processes",
        "1,200 steps",
    ]


def test_columns_are_aligned() -> None:
    assert words.table([("model", "loss", "note"), ("hope/seed0", "3.1", "")], left=(0, 2)) == [
        "model       loss  note",
        "hope/seed0   3.1",
    ]
