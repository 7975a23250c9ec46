"""The page about one checkpoint, analysed with the user's text."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from hope import __version__, words
from hope.measures.interventions import SETS
from hope.reporting.figures.declaration import figure_named
from hope.reporting.page.tables import Cell, TableView
from hope.reporting.page.templating import environment
from hope.reporting.page.write import data_uri
from hope.reporting.study_tables import ArmTables

PICTURES = ("attention_profile", "ushape_heads", "components", "intervention", "divergence")
"""The figures of the page."""
NAMES = {
    "trained": "this model",
    "initial": "untrained, same sizes",
    "shuffled": "this model, tokens in random order",
}
SET_NAMES = {
    "activated": "activated",
    "slow": "slow: under one turn within L",
    "fast": "fast: one turn or more",
    "random": "as many others, at random",
    "matched": "others with the same share of variance",
}
MODE_NAMES = {"freeze": "frozen", "mean": "mean over distance", "remove": "removed"}
MEASURES = {
    "index_without_sink": "U-shape index",
    "loss_within": "loss within L, nats per token",
    "loss_past": "loss from L to 2L",
}


def checkpoint_page(tables: ArmTables, facts: dict[str, Any]) -> str:
    """Return the page as HTML.

    Args:
        tables: tables of the folder with the model's tables and figures.
        facts: facts about model and text from :mod:`hope.reporting.checkpoint`.
    """
    (encoding,) = tables.encodings
    rotary = tables.arm.is_rotary(encoding)
    return (
        environment()
        .get_template("checkpoint.html.j2")
        .render(
            title=tables.whole.study.report.title,
            arm=tables.name,
            study=tables.arm,
            facts=facts,
            encoding=encoding,
            rotary=rotary,
            turning=f"{tables.kept(encoding)} of {tables.arm.model.head_dim // 2}" if rotary else "",
            figures=pictures(tables, PICTURES),
            in_short=_in_short(tables, facts),
            attention=_attention(tables) | {"table": _ushape_table(tables)},
            components=_chosen(tables) | {"table": _component_table(tables)} if rotary else {},
            interventions=_intervention_table(tables) if rotary else None,
            version=__version__,
        )
    )


def pictures(tables: ArmTables, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return those of the named figures that were drawn, each with its declaration and its picture for a page."""
    paths = {name: tables.figures / f"{name}.svg" for name in names}
    return {
        name: {"declared": figure_named(name), "picture": data_uri(path.read_bytes())}
        for name, path in paths.items()
        if path.exists()
    }


def _in_short(tables: ArmTables, facts: dict[str, Any]) -> list[str]:
    """Return what to take from the page, one sentence or two per entry."""
    attention, signed, number = _attention(tables), words.signed, words.number
    index, first = attention["index"], attention["first_token"]
    lines = [
        f"The first token draws {first:.0%} of the attention"
        + (", whatever it says: a sink. It says nothing about the use of distant context." if first > 0.1 else ".")
    ]
    if index > 0 and attention["above_nulls"]:
        shape = f"Without it, attention is a U: both ends of the context are denser than the middle ({signed(index)})."
    else:
        shape = f"Without it, attention is no U (index {signed(index)})."
    by_layer = _at_length(tables, "ushape").query("subject == 'trained'").groupby("layer")["index_without_sink"].mean()
    strongest = by_layer.nlargest(3)
    if len(by_layer) > 3 and strongest.iloc[0] > 0:
        named = words.listed([str(int(layer) + 1) for layer in sorted(strongest.index)])
        shape += (
            f" The U is strongest in layers {named}; {int((by_layer > 0).sum())} of {len(by_layer)} layers have one."
        )
    lines.append(shape)
    (encoding,) = tables.encodings
    if not tables.arm.is_rotary(encoding):
        return lines
    chosen, frame = _chosen(tables), tables.read("intervention")
    slow = sum(wavelength > 1 for wavelength in chosen["wavelengths"])
    if chosen["numbers"]:
        low, high = chosen["wavelengths"][0], chosen["wavelengths"][-1]
        lines.append(
            f"The components that shape attention over distance (activated) have wavelengths of {number(low, 2)} to "
            f"{number(high, 2)} L; HoPE would stop {slow or 'none'} of these {len(chosen['numbers'])}."
        )

    def cost(mode: str, name: str) -> tuple[float, float] | None:
        changed = _of_set(frame, mode, name)
        return None if changed.empty else spread((changed - _of_set(frame, "none", "none"))["loss_within"])

    frozen, removed = cost("freeze", "slow"), cost("remove", "slow")
    if frozen and removed:
        said = (
            f"Freezing the slow components at angle 0, as HoPE does, changes the loss within L by {signed(frozen[0])} "
            f"nats per token; removing them, by {signed(removed[0])}. "
        )
        if not np.isfinite(removed[1]):
            said += "One window does not show what they carry."
        elif removed[0] > 2 * removed[1] and removed[0] > 4 * abs(frozen[0]):
            said += "So they carry mostly what tokens are, and little about where they stand."
        elif frozen[0] > 2 * frozen[1] and frozen[0] > 0.5 * removed[0]:
            said += "So what they say about position is what the model needs of them."
        elif removed[0] <= 2 * removed[1]:
            said += "So the model hardly needs them on this text."
        else:
            said += "So they carry both what tokens are and where they stand."
        lines.append(said)
    activated, others = cost("freeze", "activated"), cost("freeze", "random")
    if activated and others:
        error = (activated[1] ** 2 + others[1] ** 2) ** 0.5
        more = "they matter more" if activated[0] - others[0] > 2 * error else "they do not clearly matter more"
        lines.append(
            f"Freezing the activated components changes it by {signed(activated[0])}, as many others at random by "
            f"{signed(others[0])}" + (f": {more}." if np.isfinite(error) else ".")
        )
    return lines


def _at_length(tables: ArmTables, table: str) -> pd.DataFrame:
    frame = tables.read(table)
    return frame[frame["query"] == tables.length - 1]


def _indices(tables: ArmTables, measure: str) -> pd.DataFrame:
    """Return the index by window (row) and subject (column), mean over layers and heads."""
    return _at_length(tables, "ushape").groupby(["document", "subject"])[measure].mean().unstack("subject")


def spread(values: pd.Series) -> tuple[float, float]:
    """Return a mean over windows and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def with_error(values: pd.Series, sign: bool = False) -> str:
    """Return a mean over windows and its standard error as text."""
    mean, error = spread(values)
    return f"{(words.signed if sign else words.number)(mean)} ± {words.number(error, 2)}"


def _attention(tables: ArmTables) -> dict[str, Any]:
    """Return the U-shape index, whether it is above both nulls, and the attention on the first token.

    All are means over windows. Above a null means by more than two standard errors of the difference.
    """
    indices = _indices(tables, "index_without_sink")
    mean, _ = spread(indices["trained"])
    over = [spread(indices["trained"] - indices[null]) for null in ("initial", "shuffled")]
    first = _at_length(tables, "profile").query("axis == 'key' and subject == 'trained' and start == 0")["mass"].mean()
    return {"index": mean, "above_nulls": all(gap > 2 * error for gap, error in over), "first_token": first}


def _ushape_table(tables: ArmTables) -> TableView:
    parts = {measure: _indices(tables, measure) for measure in ("index_without_sink", "index")}
    rows = [
        [Cell(NAMES[subject]), *(Cell(with_error(parts[measure][subject], sign=True)) for measure in parts)]
        for subject in NAMES
    ]
    caption = "U-shape index in densities, mean over layers, heads and windows ± its standard error over windows"
    return TableView(caption, _file(tables, "ushape"), ["", "first token left out", "first token counted"], rows)


def _of_components(tables: ArmTables) -> pd.DataFrame:
    """Return one row per component: spread, share of the variance, turns, and whether it is activated or kept."""
    frame = tables.read("components")
    same = frame.groupby("component")[["spread", "turns", "kept", "activated"]].first()
    return same.assign(share=frame.groupby("component")["variance_share"].mean())


def _chosen(tables: ArmTables) -> dict[str, Any]:
    """Return the activated components: their numbers, wavelengths in L, and share of the variance."""
    components = _of_components(tables)
    chosen = components[components["activated"]]
    return {
        "turning": int(components["kept"].sum()),
        "numbers": [str(number) for number in chosen.index],
        "wavelengths": sorted(1 / chosen["turns"]),
        "variance_share": chosen["share"].sum(),
    }


def _component_table(tables: ArmTables) -> TableView:
    rows = [
        [
            Cell(f"{number}{', activated' if row['activated'] else ''}"),
            Cell(words.number(row["turns"]) if row["kept"] else "stands still"),
            Cell(words.number(row["spread"])),
            Cell(f"{row['share']:.1%}"),
        ]
        for number, row in _of_components(tables).iterrows()
    ]
    head = ["component", "turns within L", "spread over distance, logits", "share of logit variance"]
    return TableView("Components, means over layers and heads", _file(tables, "components"), head, rows)


def _intervention_table(tables: ArmTables) -> TableView:
    frame = tables.read("intervention")
    shown = [name for name in MEASURES if name in set(frame["measure"])]
    rows = []
    for name in SETS:
        for mode, label in MODE_NAMES.items():
            changed = _of_set(frame, mode, name)
            if len(changed):
                change = changed - _of_set(frame, "none", "none")
                cells = [Cell(with_error(change[measure], sign=True)) for measure in shown]
                rows.append([Cell(SET_NAMES[name], label), *cells])
    caption = "Change by intervention, mean over windows ± its standard error"
    head = ["components", *(MEASURES[name] for name in shown)]
    return TableView(caption, _file(tables, "intervention"), head, rows)


def _of_set(frame: pd.DataFrame, mode: str, name: str) -> pd.DataFrame:
    """Return the measures (columns) by window (row) under one intervention."""
    own = frame[(frame["mode"] == mode) & (frame["set"] == name)]
    return own.pivot(index="document", columns="measure", values="value")


def _file(tables: ArmTables, table: str) -> str:
    (encoding,) = tables.encodings
    path = tables.paths.run(tables.name, encoding, 0).analysis / f"{table}.parquet"
    return path.relative_to(tables.paths.root).as_posix()
