"""Sentences about the course of training, from a study's tables."""

import numpy as np
import pandas as pd

from hope import words
from hope.reporting.articles.sentences import by_encoding, estimate, said
from hope.reporting.study_tables import ArmTables

MOST = 0.75
"""Share of the finally activated components from which on most of them count as activated."""


def ushape_over_time(tables: ArmTables) -> list[str]:
    """Return by encoding the moment from which on the index differs from its start, and the loss at that moment."""
    frame = tables.read("dynamics")
    found = []
    for encoding, own in by_encoding(tables, frame):
        index, loss = (own[own["measure"] == measure] for measure in ("index_without_sink", "loss"))
        steps, start = sorted(set(own["step"])), index[index["step"] == 0]
        changes = {step: estimate(tables, index[index["step"] == step], "value", start) for step in steps[1:]}
        last = changes[steps[-1]]
        if np.isnan(last["low"]):
            found.append(
                f"{tables.label(encoding)}: the index changes by {words.signed(last['estimate'])} from start to end; "
                "one model has no interval, so no moment is named."
            )
            continue
        stays = _from_then_on(steps[1:], [_sign(changes[step]) for step in steps[1:]])
        if stays is None:
            found.append(
                f"{tables.label(encoding)}: at the end the index is not shown to differ from that at the start: "
                f"{said(last)}."
            )
            continue
        then = own[own["step"] == stays]["tokens"].iloc[0]
        at = loss[loss["step"] == stays]["value"].mean()
        found.append(
            f"{tables.label(encoding)}: from step {stays:,} on ({_share(stays, steps[-1])} of the training, "
            f"{words.count(then)} tokens, held-out loss {words.number(at)}) the index lies "
            f"{'above' if last['estimate'] > 0 else 'below'} that at the start; at the end by {said(last)}."
        )
    return found


def activation_over_time(tables: ArmTables) -> list[str]:
    """Return by encoding when most of the finally activated components are, and when they have half of their spread."""
    frame = tables.read("dynamics")
    found = []
    for encoding, rows in by_encoding(tables, frame):
        own = rows[(rows["component"] >= 0) & (rows["layer"] == -1)]
        if own.empty:
            continue
        keys = ["seed", "step", "component"]
        table = own.pivot_table(index=keys, columns="measure", values="value").reset_index()
        shared = _shared(table)
        if shared.empty:
            found.append(f"{tables.label(encoding)}: no component is activated at the end.")
            continue
        steps = shared.index.tolist()
        stays = _from_then_on(steps, [int(value >= MOST) for value in shared])
        spread = table[table["last"] > 0].groupby("step")["spread"].mean() if "last" in table else None
        assert stays is not None and spread is not None, "at the end all of them are activated"
        half = next(step for step in steps if spread[step] >= spread[steps[-1]] / 2)
        found.append(
            f"{tables.label(encoding)}: from {_moment(stays, steps[-1])} on at least {MOST:.0%} of the components "
            f"that are activated at the end already are, mean over seeds. Their spread has half of its final size, "
            f"{words.number(spread[steps[-1]])} logits, at {_moment(half, steps[-1])}."
        )
    return found


def _shared(table: pd.DataFrame) -> pd.Series:
    """Return the share of the finally activated components that are activated, by step, mean over seeds.

    Adds the column ``last`` to ``table``: above 0 for components that are activated at the end.
    """
    final = table[table["step"] == table["step"].max()].set_index(["seed", "component"])["activated"]
    table["last"] = [final[seed, component] for seed, component in zip(table["seed"], table["component"], strict=True)]
    chosen = table[table["last"] > 0]
    return chosen.groupby(["step", "seed"])["activated"].mean().groupby("step").mean()


def _sign(change: pd.Series) -> int:
    """Return 1 if the whole interval lies above 0, -1 if below 0, else 0."""
    return int(change["low"] > 0) - int(change["high"] < 0)


def _from_then_on(steps: list[int], signs: list[int]) -> int | None:
    """Return the first step from which on all signs equal the last sign; None if the last sign is 0."""
    if not signs[-1]:
        return None
    place = len(signs)
    while place and signs[place - 1] == signs[-1]:
        place -= 1
    return steps[place]


def _moment(step: int, last: int) -> str:
    return "the start" if step == 0 else f"step {step:,} ({_share(step, last)} of the training)"


def _share(step: int, last: int) -> str:
    return "the whole" if step == last else f"{step / last:.1%}"
