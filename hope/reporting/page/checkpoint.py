"""The page of one model that was looked into with the user's own text."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hope import __version__
from hope.measures.interventions import SETS
from hope.reporting import words
from hope.reporting.figures.draw import kind
from hope.reporting.page.tables import Cell, TableView
from hope.reporting.page.templating import environment
from hope.reporting.page.write import data_uri
from hope.reporting.study_tables import StudyTables

PICTURES = {
    "attention_profile": "A U-shape rises at both ends of the upper panels; long-term decay alone would rise at the "
    "right "
    "end only. The first key has a bin of its own: a spike there is the attention sink. Means over layers, heads and "
    "windows.",
    "ushape_heads": "One mark a head: the U-shape index without the first token, 0 for uniform attention, below 0 "
    "for decay "
    "alone, above 0 for a U.",
    "components": "Above, how far each component bends the logits over distances within L: dots are heads, the line "
    "their "
    "mean, circles the activated ones. Right of the dashed line a component completes no turn within L. Below, which "
    "way "
    "each bends them.",
    "intervention": "What changes on windows that had no say in the choice, when sets of components are frozen at "
    "angle 0, "
    "replaced by their mean over distance, or removed.",
    "divergence": "The share of attention of queries past L that lies elsewhere than within L, 0 to 1, by octaves of "
    "distance.",
}
"""The figures of the page in their order, and what to look at in each."""
NAMES = {
    "trained": "this model",
    "initial": "untrained, of these sizes",
    "shuffled": "this model, tokens in random order",
}
SET_NAMES = {
    "activated": "activated",
    "slow": "slow: under one turn within L",
    "fast": "fast: one turn or more",
    "random": "as many others, at random",
    "matched": "others of that share of variance",
}
MODE_NAMES = {"freeze": "frozen", "mean": "mean over distance", "remove": "removed"}
MEASURES = {
    "index_without_sink": "U-shape index",
    "loss_within": "loss within L, nats a token",
    "loss_past": "loss from L to 2L",
}


def checkpoint_page(tables: StudyTables, facts: dict[str, Any]) -> str:
    """Return the page as HTML.

    Args:
        tables: of the folder that holds the model's tables and figures.
        facts: what :mod:`hope.reporting.checkpoint` knows of model and text.
    """
    pictures = {name: tables.paths.figures / f"{name}.svg" for name in PICTURES}
    views = {
        name: {"kind": replace(kind(name), look=PICTURES[name]), "picture": data_uri(path.read_bytes())}
        for name, path in pictures.items()
        if path.exists()
    }
    (encoding,) = tables.encodings
    rotary = tables.study.is_rotary(encoding)
    sections: list[tuple[str, list[str], list[TableView], tuple[str, ...]]] = [
        ("Attention by distance", _ushape_words(tables), [_ushape_table(tables)], SHAPE)
    ]
    if rotary:
        sections.append(("Frequency components", _component_words(tables), [_component_table(tables)], ("components",)))
        sections.append(("Interventions", INTERVENTION_WORDS, _intervention_tables(tables), ("intervention",)))
    if facts["past"]:
        sections.append(("Past the training length", PAST_WORDS, [], ("divergence",)))
    return (
        environment()
        .get_template("checkpoint.html.j2")
        .render(
            study=tables.study,
            facts=facts,
            encoding=encoding,
            turning=f"{tables.kept(encoding)} of {tables.study.model.head_dim // 2}" if rotary else "",
            sections=[
                {
                    "title": title,
                    "sentences": sentences,
                    "tables": found,
                    "figures": [views[n] for n in names if n in views],
                }
                for title, sentences, found, names in sections
            ],
            left_out=_left_out(tables, facts, rotary),
            version=__version__,
        )
    )


SHAPE = ("attention_profile", "ushape_heads")
INTERVENTION_WORDS = [
    "Components were chosen on the first half of the windows and changed on the second. Numbers are what changes, "
    "plus or "
    "minus the standard error over those windows. A set that makes the U-shape lowers the index; one that the model "
    "needs raises the loss. Frozen, a component still tells tokens apart but not distances; at its mean over "
    "distance it is "
    "the other way about."
]
PAST_WORDS = [
    "How far attention of queries at twice the training length departs from that of queries within it. Distances that "
    "training never showed count as departure in full."
]


def _at_length(tables: StudyTables, table: str) -> pd.DataFrame:
    frame = tables.read(table)
    return frame[frame["query"] == tables.length - 1]


def _indices(tables: StudyTables, measure: str) -> pd.DataFrame:
    """Return the index of each window (row) by subject (column), mean over layers and heads."""
    return _at_length(tables, "ushape").groupby(["document", "subject"])[measure].mean().unstack("subject")


def _spread(values: pd.Series) -> tuple[float, float]:
    """Return a mean over windows and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def _with_error(values: pd.Series, sign: bool = False) -> str:
    mean, error = _spread(values)
    return f"{(words.signed if sign else words.number)(mean)} ± {words.number(error, 2)}"


def _ushape_words(tables: StudyTables) -> list[str]:
    found = _indices(tables, "index_without_sink")
    mean, _ = _spread(found["trained"])
    over = [_spread(found["trained"] - found[null]) for null in ("initial", "shuffled")]
    if mean > 0 and all(gap > 2 * error for gap, error in over):
        answer = "above both nulls by more than two standard errors: attention is a U, with the first token left out "
        "too"
    elif mean <= 0:
        answer = "which is no U: one end, or both, draw no more than the middle"
    else:
        answer = "which is not above both nulls by two standard errors: a U is not shown"
    first = _at_length(tables, "profile").query("axis == 'key' and subject == 'trained' and start == 0")["mass"].mean()
    return [
        f"Without the first token the U-shape index is {words.signed(mean)}, {answer}. It is the lower of the "
        f"densities of "
        "attention at both ends of the context, minus that of the middle, at the last queries within L.",
        f"The first token alone draws {first:.1%} of the attention; an even share would be {1 / tables.length:.1%}.",
    ]


def _ushape_table(tables: StudyTables) -> TableView:
    parts = {measure: _indices(tables, measure) for measure in ("index_without_sink", "index")}
    rows = [
        [Cell(NAMES[subject]), *(Cell(_with_error(parts[measure][subject], sign=True)) for measure in parts)]
        for subject in NAMES
    ]
    caption = "U-shape index in densities, mean over layers, heads and windows ± its standard error over windows"
    return TableView(caption, _file(tables, "ushape"), ["", "first token left out", "first token counted"], rows)


def _of_components(tables: StudyTables) -> pd.DataFrame:
    """Return one row a component: spread, share of the variance, turns, and whether it is activated or kept."""
    frame = tables.read("components")
    same = frame.groupby("component")[["spread", "turns", "kept", "activated"]].first()
    return same.assign(share=frame.groupby("component")["variance_share"].mean())


def _component_words(tables: StudyTables) -> list[str]:
    found = _of_components(tables)
    chosen = found[found["activated"]]
    if chosen.empty:
        return ["Of so few turning components none counts as activated."]
    slow = int((chosen["turns"] < 1).sum())
    share = tables.study.analysis.active_share
    where = (
        "none of them completes" if slow == len(chosen) else "all complete" if slow == 0 else f"{slow} do not complete"
    )
    return [
        f"Of {int(found['kept'].sum())} components that turn, the {share:.0%} that bend the logits most over "
        f"distance count as "
        f"activated: {words.listed([str(number) for number in chosen.index])}, of wavelengths "
        f"{words.number(1 / chosen['turns'].max(), 2)} to {words.number(1 / chosen['turns'].min(), 2)} L; {where} a "
        f"turn "
        f"within L. Together they carry {chosen['share'].sum():.0%} of the variance of the logits."
    ]


def _component_table(tables: StudyTables) -> TableView:
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
    return TableView("Components, means over layers and heads", _file(tables, "components"), head, rows, folded=True)


def _intervention_tables(tables: StudyTables) -> list[TableView]:
    frame = tables.read("intervention")
    shown = [name for name in MEASURES if name in set(frame["measure"])]
    rows = []
    for name in SETS:
        for mode, said in MODE_NAMES.items():
            changed = _of_set(frame, mode, name)
            if len(changed):
                change = changed - _of_set(frame, "none", "none")
                cells = [Cell(_with_error(change[measure], sign=True)) for measure in shown]
                rows.append([Cell(SET_NAMES[name], said), *cells])
    caption = "Change by intervention, mean over windows ± its standard error"
    head = ["components", *(MEASURES[name] for name in shown)]
    return [TableView(caption, _file(tables, "intervention"), head, rows)]


def _of_set(frame: pd.DataFrame, mode: str, name: str) -> pd.DataFrame:
    """Return the measures (columns) of each window (row) under one intervention."""
    own = frame[(frame["mode"] == mode) & (frame["set"] == name)]
    return own.pivot(index="document", columns="measure", values="value")


def _left_out(tables: StudyTables, facts: dict[str, Any], rotary: bool) -> list[str]:
    """Return what is not on the page, and why."""
    (encoding,) = tables.encodings
    found = []
    if not rotary:
        found.append(f"Frequency components and interventions: the encoding '{encoding}' turns no queries and keys.")
    if not facts["past"]:
        if tables.length < facts["trained_length"]:
            why = (
                f"the windows have {tables.length:,} of the {facts['trained_length']:,} tokens that the model was made "
                "for (--length)"
            )
        elif facts["limit"] < 2 * tables.length:
            why = f"the encoding '{encoding}' can be looked at over {facts['limit']:,} tokens"
        else:
            why = f"windows of {2 * tables.length:,} tokens are needed, and the text has too few of them"
        found.append(f"Attention past the training length: {why}.")
    if not facts["trained_here"]:
        found.append(
            "The model as it really began: a stock checkpoint does not say. The untrained one has its sizes and this "
            "project's initialisation."
        )
    found.append(
        "Other models: an interval here is over windows of this text. It says nothing of a model trained again, or on "
        "another text."
    )
    return found


def _file(tables: StudyTables, table: str) -> str:
    (encoding,) = tables.encodings
    return f"{(tables.paths.run(encoding, 0).analysis / f'{table}.parquet').relative_to(tables.paths.root).as_posix()}"
