"""Sentences about the attention of a study's models, with their numbers computed from the study's tables.

An interval is over crossed seeds and units (:mod:`hope.statistics`). An encoding with a single seed has none; its
sentence is about that model, not about the encoding.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from hope import words
from hope.measures import length_name
from hope.measures.losses import loss_between
from hope.reporting.articles.findings_rotary import components, decay, intervention, slow_components
from hope.reporting.articles.findings_training import activation_over_time, ushape_over_time
from hope.reporting.articles.sentences import by_encoding, estimate, said
from hope.reporting.study_tables import ArmTables


def ushape(tables: ArmTables) -> list[str]:
    """Return the U-shape index without the first token by encoding, and whether it exceeds its nulls."""
    frame = tables.read("ushape")
    if frame.empty:
        return []
    frame = frame[frame["query"] == tables.length - 1]
    found = []
    for encoding, own in by_encoding(tables, frame):
        trained = own[own["subject"] == "trained"]
        nulls = {
            named: estimate(tables, trained, "index_without_sink", own[own["subject"] == subject])
            for subject, named in (("initial", "the model before training"), ("shuffled", "tokens in random order"))
            if subject in set(own["subject"])
        }
        index = estimate(tables, trained, "index_without_sink")
        gaps = words.listed([f"{said(gap)} over {null}" for null, gap in nulls.items()])
        found.append(f"{tables.label(encoding)}: {said(index)}; {gaps}: {_above([index, *nulls.values()])}.")
    return found


def _above(gaps: Iterable[pd.Series]) -> str:
    gaps = list(gaps)
    if any(np.isnan(gap["low"]) for gap in gaps):
        return "one model, no interval"
    if all(gap["low"] > 0 for gap in gaps):
        return "a U-shape that the nulls lack"
    if any(gap["high"] < 0 for gap in gaps):
        return "no U-shape, or none beyond the nulls"
    return "not decided"


def sink(tables: ArmTables) -> list[str]:
    """Return the share of attention on the first token at the last queries within L, by encoding."""
    frame = tables.read("profile")
    if frame.empty:
        return []
    frame = frame[(frame["query"] == tables.length - 1) & (frame["axis"] == "key") & (frame["start"] == 0)]
    mass = frame.groupby(["encoding", "subject"])["mass"].mean()
    parts = [
        f"{mass[name, 'trained']:.1%} in {tables.label(name)} ({mass[name, 'initial']:.1%} before training)"
        for name, _ in by_encoding(tables, frame)
    ]
    return [f"The first token draws {words.listed(parts)}; an even share would be {100 / tables.length:.2g}%."]


def divergence(tables: ArmTables) -> list[str]:
    """Return the departure of attention past L from attention within L, by encoding, and the rise of the loss."""
    frame = tables.read("divergence")
    if frame.empty:
        return []
    nearest = int(frame["query"].min())
    frame = frame[frame["query"] == nearest]
    departs = {name: estimate(tables, own, "divergence") for name, own in by_encoding(tables, frame)}
    order = sorted(departs, key=lambda name: departs[name]["estimate"])
    at = length_name((nearest + 1) / tables.length)
    parts = [f"{departs[name]['estimate']:.1%}{_limits(departs[name])} in {tables.label(name)}" for name in order]
    found = [f"At {at} the share of attention that lies elsewhere than within L is {words.listed(parts)}."]
    rises = _rises(tables)
    both = [name for name in order if name in rises]
    if len(both) > 2:
        rank = float(pd.Series([departs[name]["estimate"] for name in both]).corr(
            pd.Series([rises[name] for name in both]), method="spearman"
        ))  # fmt: skip
        parts = [f"{words.signed(rises[name])} in {tables.label(name)}" for name in both]
        found.append(
            f"From within L to the octave past it the loss rises by {words.listed(parts)} nats per token, in the same "
            f"order of encodings. The rank correlation of the two over {len(both)} encodings is "
            f"{words.signed(rank, 2)}; so few encodings allow no test."
        )
    return found


def _limits(row: pd.Series) -> str:
    """Return the interval of a share, if it has one."""
    return "" if np.isnan(row["low"]) else f" [{row['low']:.1%}, {row['high']:.1%}]"


def _rises(tables: ArmTables) -> dict[str, float]:
    """Return the mean loss at L to 2 L minus that at 0 to L, in nats per token, of each encoding that has both."""
    frame, length = tables.read("extrapolation"), tables.length
    if frame.empty:
        return {}
    past, within = (loss_between(frame, low, low + length, ["encoding"]) for low in (length, 0))
    return {str(name): float(rise) for name, rise in (past - within).dropna().items()}


FINDINGS: dict[str, Callable[[ArmTables], list[str]]] = {
    "ushape": ushape,
    "sink": sink,
    "divergence": divergence,
    "components": components,
    "intervention": intervention,
    "slow_components": slow_components,
    "decay": decay,
    "ushape_over_time": ushape_over_time,
    "activation_over_time": activation_over_time,
}
"""The findings by name; each returns sentences about an arm."""
