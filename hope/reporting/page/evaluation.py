"""The page about the losses and the retrieval of one checkpoint, on the user's text."""

from typing import Any

import pandas as pd

from hope import __version__, words
from hope.measures import length_name
from hope.measures.losses import per_token
from hope.reporting.page.checkpoint import pictures, spread, with_error
from hope.reporting.page.tables import Cell, TableView
from hope.reporting.page.templating import environment
from hope.reporting.study_tables import ArmTables

Losses = dict[str, dict[float, pd.Series]]

PICTURES = ("loss_by_position", "context_gain", "extensions", "retrieval", "retrieval_depth")
"""The figures of the page."""


def evaluation_page(tables: ArmTables, facts: dict[str, Any]) -> str:
    """Return the page as HTML.

    Args:
        tables: tables of the folder with the model's tables and figures.
        facts: facts about model and text from :mod:`hope.reporting.evaluation`.
    """
    (encoding,) = tables.encodings
    losses, contexts = _losses(tables), _contexts(tables)
    retrieval = tables.read("retrieval")
    return (
        environment()
        .get_template("evaluation.html.j2")
        .render(
            title=tables.whole.study.report.title,
            arm=tables.name,
            study=tables.arm,
            facts=facts,
            encoding=encoding,
            figures=pictures(tables, PICTURES),
            in_short=_in_short(tables, losses, contexts, retrieval),
            losses=_loss_table(tables, losses),
            contexts=_context_table(tables, contexts),
            retrieval=None if retrieval.empty else _retrieval_table(tables, retrieval),
            version=__version__,
        )
    )


def _losses(tables: ArmTables) -> Losses:
    """Return the loss per token of each window, by extension and range of positions.

    Ranges end at L/2, L, 2L, 4L, ...; they are named by these ends, in L.
    """
    frame = tables.read("extrapolation", extended=True)
    ends = [0.5, *(2.0**power for power in range(tables.arm.extrapolation.longest.bit_length()))]
    middle = (frame["start"] + frame["end"]) / 2
    frame = frame.assign(range=pd.cut(middle, [0.0, *(end * tables.length for end in ends)], labels=ends))
    frame["unit"] = _unit(frame)
    extensions = ["none", *(name for name in frame["extension"].unique() if name != "none")]
    return {
        name: {end: per_token(part[part["range"] == end], ["unit"]) for end in ends}
        for name, part in ((name, frame[frame["extension"] == name]) for name in extensions)
    }


def _contexts(tables: ArmTables) -> dict[int, pd.Series]:
    """Return the loss per token on the fixed targets of each window, by context in tokens, rising."""
    frame = tables.read("context")
    frame = frame.assign(unit=_unit(frame))
    contexts = sorted(set(frame["context"].tolist()))
    return {context: per_token(frame[frame["context"] == context], ["unit"]) for context in contexts}


def _unit(frame: pd.DataFrame) -> pd.Series:
    """Return one label per window."""
    return frame["document"].astype(str) + "/" + frame["window"].astype(str)


def _in_short(tables: ArmTables, losses: Losses, contexts: dict[int, pd.Series], retrieval: pd.DataFrame) -> list[str]:
    """Return what to take from the page, one sentence or two per entry."""
    own, number, signed, length = losses["none"], words.number, words.signed, tables.length
    lines = [f"On this text the loss within L is {number(own[1.0].mean())} nats per token (from L/2 to L)."]
    last = max(own)
    if last > 1:
        change, error = spread(own[last] - own[1.0])
        fails = change > max(2 * error, 0.1)
        lines.append(
            f"From {length_name(last / 2)} to {length_name(last)} it differs from that by {signed(change)} "
            f"± {number(error, 2)}: the model {'does not extrapolate' if fails else 'holds its loss past L'}."
        )
    gains = {context: spread(contexts[length] - loss) for context, loss in contexts.items()}
    longest, shortest = max(gains), min(gains)
    if longest > length:
        gain, error = gains[longest]
        does = "uses it" if gain > 2 * error else "is harmed by it" if gain < -2 * error else "ignores it"
        lines.append(
            f"On the same tokens, {length_name(longest / length)} of context instead of L changes the loss by "
            f"{signed(-gain)} ± {number(error, 2)}: the model {does}."
        )
    if shortest < length:
        gain, error = gains[shortest]
        lines.append(
            f"L of context instead of {length_name(shortest / length)} changes it by {signed(gain)} "
            f"± {number(error, 2)}."
        )
    if last > 1 and len(losses) > 1:
        best = min((name for name in losses if name != "none"), key=lambda name: losses[name][last].mean())
        (gain, error), (price, _) = (spread(losses[best][end] - own[end]) for end in (last, 1.0))
        lines.append(
            f"The best length extension there is {best}: it changes the loss by {signed(gain)} ± {number(error, 2)}, "
            f"and that within L by {signed(price)}."
        )
    within = retrieval[retrieval["length"] <= length] if len(retrieval) else retrieval
    if len(within):
        tokens = int(within["length"].max())
        shares = within[within["length"] == tokens].groupby("task")["accuracy"].mean()
        parts = ", ".join(f"{task} {share:.0%}" for task, share in shares.items())
        lines.append(f"Answer tokens right at prompts of {length_name(tokens / length)}: {parts}.")
    return lines


def _loss_table(tables: ArmTables, losses: Losses) -> TableView:
    rows = [
        [Cell("as trained" if name == "none" else name), *(Cell(with_error(loss)) for loss in by_range.values())]
        for name, by_range in losses.items()
    ]
    ends = [f"{length_name(end / 2) if end > 0.5 else 0} to {length_name(end)}" for end in losses["none"]]
    caption = "Loss by position in nats per token, mean over windows ± its standard error"
    return TableView(caption, _file(tables, "extrapolation"), ["", *ends], rows)


def _context_table(tables: ArmTables, contexts: dict[int, pd.Series]) -> TableView:
    rows = [
        [
            Cell(_tokens(tables, context)),
            Cell(with_error(loss)),
            Cell(with_error(contexts[tables.length] - loss, sign=True)),
        ]
        for context, loss in contexts.items()
    ]
    caption = f"The last {tables.arm.extrapolation.targets} tokens of each window, with more and less context"
    head = ["tokens of context", "loss, nats per token", "gain over L tokens of context"]
    return TableView(caption, _file(tables, "context"), head, rows)


def _retrieval_table(tables: ArmTables, frame: pd.DataFrame) -> TableView:
    lengths, rows = sorted(set(frame["length"].tolist())), []
    for task, part in frame.groupby("task", sort=False):
        shares = part.groupby("length")["accuracy"].mean()
        cells = [Cell(f"{shares[length]:.0%}" if length in shares else "–") for length in lengths]
        rows.append([Cell(str(task)), *cells, Cell(f"{part['chance'].mean():.1%}")])
    caption = "Answer tokens right, by prompt length in tokens"
    names = [_tokens(tables, length) for length in lengths]
    return TableView(caption, _file(tables, "retrieval"), ["task", *names, "chance"], rows)


def _tokens(tables: ArmTables, tokens: int) -> str:
    """Return a number of tokens, with its share of L."""
    return f"{tokens:,} ({length_name(tokens / tables.length)})"


def _file(tables: ArmTables, table: str) -> str:
    (encoding,) = tables.encodings
    path = tables.paths.run(tables.name, encoding, 0).evaluation / f"{table}.parquet"
    return path.relative_to(tables.paths.root).as_posix()
