"""Measures of the loss on text: by position, by context, in sliding windows, and under length extensions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hope.measures.measure import NATS, Endpoint, Listed, Settings, Source, measure

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from hope.config import Arm

EXTRAPOLATION = Source("evaluation", "extrapolation", ("losses",))
CONTEXT = Source("evaluation", "context", ("losses",))
STRIDED = Source("evaluation", "strided", ("losses",))
LOSS: Settings = {"scale": NATS, "better": "lower", "loss": True}
PAST_END = 4
"""``loss_past`` ends at this many training lengths."""


def octaves(longest: float) -> list[float]:
    """Return the ends of the octaves past L, in training lengths: 2, 4, 8, ... up to ``longest``."""
    return [2.0**power for power in range(1, int(longest).bit_length())]


def _by_extension(table: DataFrame) -> Iterator[tuple[str | None, DataFrame]]:
    for extension in table["extension"].unique():
        yield None if extension == "none" else str(extension), table[table["extension"] == extension]


def _labels(arm: Arm, _: Endpoint) -> list[str]:
    return [extension.label for extension in arm.extrapolation.extensions]


EXTENSIONS = Listed("extrapolation.extensions", _labels, _by_extension, optional=True)
CONTEXTS = Listed("extrapolation.contexts", lambda arm, _: arm.extrapolation.contexts)
LONGER = Listed("extrapolation.contexts, past 1", lambda arm, _: [m for m in arm.extrapolation.contexts if m > 1])
OCTAVES = Listed("the octaves up to extrapolation.longest", lambda arm, _: octaves(arm.extrapolation.longest))


def per_token(table: DataFrame, by: Sequence[str] = ("document",)) -> Series:
    """Return the loss in nats per token by cell of ``by``, with equal weight for every token."""
    sums = table.groupby(list(by), observed=True)[["nll", "tokens"]].sum()
    return sums["nll"] / sums["tokens"]


def loss_between(table: DataFrame, low: float, high: float, by: Sequence[str] = ("document",)) -> Series:
    """Return the loss in nats per token at positions ``low`` to ``high``, in tokens, by cell of ``by``.

    Empty where the table does not cover all of these positions, because a part of them would be another measure.
    """
    part = table[(table["start"] >= low) & (table["end"] <= high)]
    whole = len(part) and part["start"].min() == low and part["end"].max() == high
    return per_token(part if whole else part.iloc[:0], by)


@measure("loss within L", source=EXTRAPOLATION, **LOSS, takes={"extension": EXTENSIONS})
def loss_within(table: DataFrame, length: int) -> Series:
    """Mean loss at positions 0 to L."""
    return loss_between(table, 0, length)


@measure(
    "loss from L to 4L",
    source=EXTRAPOLATION,
    **LOSS,
    takes={"extension": EXTENSIONS},
    needs=(f"extrapolation.longest of {PAST_END}", lambda arm: arm.extrapolation.longest >= PAST_END),
    extended=True,
)
def loss_past(table: DataFrame, length: int) -> Series:
    """Mean loss at positions L to 4L."""
    return loss_between(table, length, PAST_END * length)


@measure(
    "loss from {half} to {multiple}", source=EXTRAPOLATION, **LOSS, takes={"multiple": OCTAVES, "extension": EXTENSIONS}
)
def octave_loss(table: DataFrame, length: int, multiple: float) -> Series:
    """Mean loss in an octave of positions past L, which ends at that multiple of L."""
    return loss_between(table, multiple / 2 * length, multiple * length)


@measure(
    "loss with {multiple} of context", source=CONTEXT, **LOSS, takes={"multiple": CONTEXTS, "extension": EXTENSIONS}
)
def context_loss(table: DataFrame, length: int, multiple: float) -> Series:
    """Mean loss on the fixed targets with that many training lengths of context."""
    return per_token(table[table["context"] == round(multiple * length)])


@measure("context gain at {multiple}", source=CONTEXT, scale=NATS, better="higher", takes={"multiple": LONGER})
def context_gain(table: DataFrame, length: int, multiple: float) -> Series:
    """Loss on the fixed targets with L of context, minus that with the longer context."""
    table = table[table["extension"] == "none"]
    longer = context_loss(table, length, multiple)
    return longer if longer.empty else context_loss(table, length, 1.0) - longer


@measure(
    "loss in sliding windows",
    source=STRIDED,
    **LOSS,
    takes={"extension": EXTENSIONS},
    needs=("extrapolation.strided", lambda arm: arm.extrapolation.strided is not None),
)
def strided_loss(table: DataFrame, length: int) -> Series:
    """Mean loss in sliding windows, with equal weight for every token."""
    return per_token(table)
