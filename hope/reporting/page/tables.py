"""The tables of the report: those of ``tables/``, laid out for reading."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd

from hope import words
from hope.measures import Endpoint, known, length_name
from hope.reporting import effects
from hope.reporting.study_tables import ArmTables

Row = Mapping[Any, Any]
"""A row of a table by column."""


class Cell(NamedTuple):
    """A cell: its text, and a note in smaller type."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class TableView:
    """A table for reading.

    Attributes:
        caption: its caption.
        file: path of the full table, relative to the study.
        head: heads of the columns.
        rows: rows of cells; the first cell is the head of its row.
        folded: True if the page shows it on demand only.
    """

    caption: str
    file: str
    head: list[str]
    rows: list[list[Cell]]
    folded: bool = False


def report_tables(tables: ArmTables) -> list[TableView]:
    """Return the tables of the report for which the study has numbers."""
    views = [one_table(tables, name) for name in _MAKERS]
    return [view for view in views if view is not None]


def one_table(tables: ArmTables, name: str) -> TableView | None:
    """Return one table, named as in :data:`TABLES`; None if the study has no numbers for it."""
    file, make = _MAKERS[name]
    table = tables.summary(file)
    view = None if table.empty else make(tables, table)
    return view if view is not None and view.rows else None


def _losses(tables: ArmTables, table: pd.DataFrame) -> TableView:
    caption = "Loss in nats per token, in brackets perplexity, by position in the window"
    strided = tables.arm.extrapolation.strided
    if strided is not None:
        window, stride = length_name(strided.window), length_name(strided.stride)
        caption += f"; sliding windows have length {window} and stride {stride}"
    shown = table[table["extension"].isna()]
    return _by_encoding(tables, shown, ("loss_within", "octave_loss", "strided_loss"), caption, "losses", _loss)


def _gains(tables: ArmTables, table: pd.DataFrame) -> TableView:
    caption = "Context gain in nats per token: the loss on the same tokens with L of context, minus that with more"
    return _by_encoding(tables, table, ("context_gain",), caption, "losses", lambda row: words.signed(row["estimate"]))


def _extensions(tables: ArmTables, table: pd.DataFrame) -> TableView:
    caption = (
        "Loss in nats per token, in brackets perplexity, with a length extension of the trained model; a dash if the "
        "extension does not apply to the encoding"
    )
    shown = table[table["extension"].notna()]
    view = _by_encoding(tables, shown, ("loss_within", "octave_loss", "strided_loss"), caption, "losses", _loss)
    return replace(view, folded=True)


def _attention(tables: ArmTables, table: pd.DataFrame) -> TableView:
    caption = (
        "Attention: the U-shape index without the first token, and the share that lies elsewhere past L than within L"
    )
    measures = ("index_trained", "index_initial", "index_shuffled", "divergence")
    return _by_encoding(tables, table, measures, caption, "attention", lambda row: words.number(row["estimate"]))


def _by_encoding(
    tables: ArmTables,
    table: pd.DataFrame,
    measures: tuple[str, ...],
    caption: str,
    file: str,
    text: Callable[[Row], str],
) -> TableView:
    """Return a table with a row for each endpoint of these measures and a column for each encoding."""
    cells: dict[Endpoint, dict[str, Row]] = {}
    for measure in measures:
        for row in table[table["measure"] == measure].to_dict("records"):
            cells.setdefault(Endpoint.of(row), {})[row["encoding"]] = row
    rows = []
    for endpoint, by_encoding in cells.items():
        own = [by_encoding.get(encoding) for encoding in tables.encodings]
        head = Cell(endpoint.words, endpoint.measure)
        rows.append([head, *(_cell(text(row), row) if row else Cell("–") for row in own)])
    return TableView(caption, f"tables/{file}.csv", ["", *map(tables.label, tables.encodings)], rows)


def _cell(text: str, row: Row) -> Cell:
    """Return a cell with its interval, if there are several seeds."""
    return Cell(text, words.interval(row["low"], row["high"], row["estimate"]) if row["seeds"] > 1 else "")


def _loss(row: Row) -> str:
    return f"{words.number(row['estimate'])} ({words.number(row['perplexity'])})"


def _retrieval(tables: ArmTables, table: pd.DataFrame) -> TableView:
    rows = []
    for (task, length), part in table[table["depth"].isna()].groupby(["task", "length"], sort=False):
        cells = {row["encoding"]: row for row in part.to_dict("records")}
        trained = {bool(row["trained"]) for row in cells.values()}
        how = "trained, text-only arms aside" if len(trained) > 1 else "trained" if True in trained else "untrained"
        own = [cells.get(encoding) for encoding in tables.encodings]
        label = f"{task}, {length_name(part['multiple'].iloc[0])}"
        prompts = words.plural(int(part["prompts"].max()), "prompt")
        first = Cell(label, f"{words.plural(int(str(length)), 'token')}, {how}, {prompts}")
        chance = Cell(_share(float(part["chance"].mean())))
        rows.append([first, chance, *(_accuracy(row) if row else Cell("–") for row in own)])
    caption = (
        "Retrieval: share of right answer tokens (teacher-forced), by task and prompt length; after ± the standard "
        "error over the prompts of one model, in brackets the interval over seeds and prompts"
    )
    head = ["", "chance", *map(tables.label, tables.encodings)]
    return TableView(caption, "tables/retrieval.csv", head, rows)


def _accuracy(row: Row) -> Cell:
    error = f"±{100 * row['standard_error']:.1f}"
    known = row["seeds"] > 1 and pd.notna(row["low"])
    return Cell(_share(row["accuracy"]), f"{error} [{_share(row['low'])}, {_share(row['high'])}]" if known else error)


def _share(value: float) -> str:
    """Return a share in percent, with one decimal if it is below 10%."""
    return f"{100 * value:.{0 if value >= 0.1 or value <= 0 else 1}f}%".replace("-", words.MINUS)


def _comparisons(tables: ArmTables, table: pd.DataFrame) -> TableView:
    rows = []
    for row in table[table["seeds"] > 1].to_dict("records"):
        endpoint = Endpoint.of(row)
        measure = known(endpoint)
        difference = f"{words.signed(row['estimate'])} {words.interval(row['low'], row['high'], row['estimate'])}"
        rows.append(
            [
                Cell(endpoint.words, f"{measure.name}: {measure.text}"),
                Cell(f"{row['encoding']} {words.MINUS} {row['baseline']}"),
                Cell(difference, row["scale"]),
                Cell(effects.familiar(row)),
                Cell(effects.detectable(row)),
                Cell(words.p_value(row["holm_p"]), "primary" if row["family"] == "primary" else ""),
                Cell(str(row["seeds"]), words.plural(int(row["units"]), measure.unit)),
            ]
        )
    caption = (
        "Every encoding against RoPE and against HoPE in every measure, and the smallest detectable effect (at 80% "
        "power, before correction). Primary endpoints are corrected with their claims; all others are exploratory, "
        "corrected among themselves (Holm), and decide no verdict. Encodings with a single seed are in the file only"
    )
    head = ["measure", "compared", "difference", "that is", "could have seen", "p (Holm)", "seeds"]
    return TableView(caption, "tables/comparisons.csv", head, rows, folded=True)


_MAKERS: dict[str, tuple[str, Callable[[ArmTables, pd.DataFrame], TableView]]] = {
    "losses": ("losses", _losses),
    "gains": ("losses", _gains),
    "extensions": ("losses", _extensions),
    "retrieval": ("retrieval", _retrieval),
    "attention": ("attention", _attention),
    "comparisons": ("comparisons", _comparisons),
}
"""The tables in the order of the report: the file of each, and the function that lays it out."""

TABLES = list(_MAKERS)
"""The names of the tables of :func:`one_table`."""
