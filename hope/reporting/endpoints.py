"""From the tables of single models to ``tables/endpoints.parquet``: what claims and summaries are computed from.

The measures are those of :mod:`hope.reporting.measures`. One row is one observation: measure, encoding,
seed, unit (the number of a document or prompt; 0 for a measure of the whole model) and value. A measure
that a model cannot have, such as a loss past the end of a learned encoding, has no rows. Measures of a
formula have seed and unit -1: no model is in them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from hope.catalogue import FAMILIES
from hope.config import Study, from_json
from hope.errors import UserError
from hope.files import whole_file
from hope.paths import StudyPaths
from hope.reporting.measures import PAST_END, multiple_name
from hope.reporting.summaries import write_summaries

NO_MODEL = -1
COLUMNS = ["measure", "encoding", "seed", "unit", "value"]
FAR = (8, 16)
"""The kernels' far distances, in training lengths."""

Observations = tuple[str, pd.Series]
"""A measure's name and its values by unit."""


def write_endpoints(study: Path) -> None:
    """Write ``tables/endpoints.parquet`` and the summary tables of a study.

    Args:
        study: folder of the study.

    Raises:
        UserError: a table of one of the study's models is missing or cannot be read.
    """
    paths, settings = StudyPaths(study), read_study(study)
    frame = collect_endpoints(paths, settings)
    with whole_file(paths.tables / "endpoints.parquet") as temporary:
        frame.to_parquet(temporary, index=False)
    write_summaries(paths, settings, frame)


def read_study(study: Path) -> Study:
    """Return the resolved config of a study folder.

    Raises:
        UserError: the folder has none.
    """
    path = StudyPaths(study).config
    try:
        return from_json(Study, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run the study first, or name its folder") from None


def collect_endpoints(paths: StudyPaths, settings: Study) -> pd.DataFrame:
    """Return the endpoints of all models of a study, with the columns of ``endpoints.parquet``."""
    named = [
        (measure, encoding, seed, values)
        for encoding, seed in settings.runs()
        for measure, values in _of_model(paths, settings, encoding, seed)
    ]
    for encoding, measure, value in _of_kernels(paths, settings):
        named.append((measure, encoding, NO_MODEL, pd.Series({NO_MODEL: value})))
    counts = [len(values) for *_, values in named]
    columns = {name: np.repeat([entry[place] for entry in named], counts) for place, name in enumerate(COLUMNS[:3])}
    columns["unit"] = np.concatenate([values.index.to_numpy() for *_, values in named] or [np.empty(0)])
    columns["value"] = np.concatenate([values.to_numpy(np.float64) for *_, values in named] or [np.empty(0)])
    frame = pd.DataFrame(columns, columns=COLUMNS).dropna(subset="value", ignore_index=True)
    return frame.astype({"measure": str, "encoding": str, "seed": "int64", "unit": "int64", "value": "float64"})


def _of_model(paths: StudyPaths, settings: Study, encoding: str, seed: int) -> Iterator[Observations]:
    """Yield every measure of one trained model."""
    run, length = paths.run(encoding, seed), settings.training.length
    yield from losses(_read(run.evaluation / "extrapolation.parquet"), length, settings.extrapolation.longest)
    yield from context_losses(_read(run.evaluation / "context.parquet"), length, settings.extrapolation.contexts)
    yield from strided_losses(_read(run.evaluation / "strided.parquet"))
    yield from retrieval(_read(run.evaluation / "retrieval.parquet"), length, settings.retrieval.multiples)
    yield from ushape(_read(run.analysis / "ushape.parquet"), length)
    yield from divergence(_read(run.analysis / "divergence.parquet"), length, settings.analysis.multiples)
    # Rotary encodings alone have these two, a user's own class among them.
    if (run.analysis / "intervention.parquet").exists():
        yield from intervention(_read(run.analysis / "intervention.parquet"))
    if (run.analysis / "components.parquet").exists():
        yield from spreads(_read(run.analysis / "components.parquet"), length)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run the study to its end first") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({reason}); delete it and run the study again") from None


def losses(table: pd.DataFrame, length: int, longest: int) -> Iterator[Observations]:
    """Yield the mean loss of each document within L, past L, and in each octave past L, by length extension.

    A range that the table does not cover from end to end is left out: part of it would be another
    measure under the same name.
    """
    ranges = [("loss_within", 0, 1), ("loss_past", 1, PAST_END)]
    start = 1
    while 2 * start <= longest:
        ranges.append((f"loss_{multiple_name(start)}_{multiple_name(2 * start)}", start, 2 * start))
        start *= 2
    for extension, rows in _extensions(table):
        for measure, low, high in ranges:
            part = rows[(rows["start"] >= low * length) & (rows["end"] <= high * length)]
            if len(part) and part["start"].min() == low * length and part["end"].max() == high * length:
                yield measure + extension, _per_token(part)


def _extensions(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield what a length extension adds to the names of measures, nothing for the model as trained, and its rows."""
    for extension in table["extension"].unique():
        yield "" if extension == "none" else f"@{extension}", table[table["extension"] == extension]


def context_losses(table: pd.DataFrame, length: int, multiples: list[float]) -> Iterator[Observations]:
    """Yield each document's loss on the fixed targets by context and extension, and what context past L gains."""
    for extension, rows in _extensions(table):
        with_training_length = _per_token(rows[rows["context"] == length])
        for multiple in multiples:
            part = rows[rows["context"] == round(multiple * length)]
            if part.empty:
                continue
            loss = _per_token(part)
            yield f"context_loss_{multiple_name(multiple)}{extension}", loss
            if multiple > 1 and not extension:
                yield f"context_gain_{multiple_name(multiple)}", with_training_length - loss


def strided_losses(table: pd.DataFrame) -> Iterator[Observations]:
    """Yield each document's loss in windows that slide, the mean over its tokens, by length extension."""
    for extension, rows in _extensions(table):
        yield f"strided_loss{extension}", _per_token(rows)


def _per_token(table: pd.DataFrame) -> pd.Series:
    sums = table.groupby("document")[["nll", "tokens"]].sum()
    return sums["nll"] / sums["tokens"]


def retrieval(table: pd.DataFrame, length: int, multiples: list[float]) -> Iterator[Observations]:
    """Yield accuracy, exact match and margin of each prompt, by task and length, and by depth where there are any.

    Prompts of one number that differ in their depth alone are one unit: what else is in them is the same.
    """
    for task in table["task"].unique():
        for multiple in multiples:
            part = table[(table["task"] == task) & (table["length"] == round(multiple * length))]
            if part.empty:
                continue
            name, by_prompt = multiple_name(multiple), part.groupby("example")
            for measure in ("accuracy", "exact", "margin"):
                yield f"{task}_{measure}_{name}", by_prompt[measure].mean()
            for depth, cell in part.dropna(subset="depth").groupby("depth"):
                for measure in ("accuracy", "exact"):
                    yield f"{task}_{measure}_{name}_depth{depth:g}", cell.set_index("example")[measure]


def ushape(table: pd.DataFrame, length: int) -> Iterator[Observations]:
    """Yield the U-shape index without the first token of each document, mean over layers and heads."""
    for subject in ("trained", "initial", "shuffled"):
        part = table[(table["subject"] == subject) & (table["query"] == length - 1)]
        if len(part):
            yield f"index_{subject}", part.groupby("document")["index_without_sink"].mean()


def divergence(table: pd.DataFrame, length: int, multiples: list[float]) -> Iterator[Observations]:
    """Yield how far attention past L departs from that within, mean over layers and heads."""
    for multiple in multiples:
        part = table[table["query"] == round(multiple * length) - 1]
        if multiple > 1 and len(part):
            yield f"divergence_{multiple_name(multiple)}", part.groupby("document")["divergence"].mean()


def intervention(table: pd.DataFrame) -> Iterator[Observations]:
    """Yield what changing components does, as the difference to the same model as it is."""
    runs = {
        (str(mode), str(name), str(measure)): cell.set_index("document")["value"]
        for (mode, name, measure), cell in table.groupby(["mode", "set", "measure"])
    }
    for (mode, name, measure), values in runs.items():
        if mode != "none":
            yield f"{mode}_{name}_{measure.removesuffix('_without_sink')}", values - runs["none", "none", measure]


def spreads(table: pd.DataFrame, length: int) -> Iterator[Observations]:
    """Yield how far slow and fast components bend the logits over the distances within L.

    Slow components turn less than once within L; components that do not turn at all count as neither.
    """
    table = table[(table["distance"] < length) & (table["frequency"] > 0)]
    widths = table["distance_end"] - table["distance"] if "distance_end" in table else 1.0
    table = table.assign(width=widths, slow=table["frequency"] < 2 * np.pi / length)
    for name, part in (("slow", table[table["slow"]]), ("fast", table[~table["slow"]])):
        if part.empty:
            continue
        cells = part.groupby(["layer", "head", "component"])
        of_each = [np.sqrt(np.cov(cell["contribution"], aweights=cell["width"], ddof=0)) for _, cell in cells]
        yield f"{name}_spread", pd.Series({0: float(np.mean(of_each))})


def _of_kernels(paths: StudyPaths, settings: Study) -> Iterator[tuple[str, str, float]]:
    """Yield encoding, measure and value of what follows from the frequencies alone."""
    path, length = paths.theory / "kernel.parquet", settings.training.length
    table = _read(path)
    origin = (settings.model.head_dim / 2 + 1) / 2  # the summation bound at distance 0
    reference = table[(table["encoding"] == "rope") & (table["distance"] <= length)].set_index("distance")
    for encoding in (name for name in settings.encodings if name in set(table["encoding"])):
        mine = table[table["encoding"] == encoding].set_index("distance")
        far = mine[(mine.index > FAR[0] * length) & (mine.index <= FAR[1] * length)]
        if len(far):
            yield encoding, "kernel_far", float(far["value"].mean())
        floor = kernel_floor(settings, encoding)
        if floor is not None:
            yield encoding, "kernel_floor", floor
        if encoding != "rope" and len(reference):
            mine = mine[mine.index <= length]
            numbers = [name for name in ("value", "bound") if name in table]
            gap = (mine[numbers] - reference[numbers]).abs().mean()
            yield encoding, "kernel_gap_within", float(gap["value"])
            if "bound" in gap:
                yield encoding, "bound_gap_within", float(gap["bound"]) / origin


def kernel_floor(settings: Study, encoding: str) -> float | None:
    """Return 1 - 2K/d, K the components that turn, where the family has a formula for it, else None.

    The formula does not use the model's own frequencies, so that the kernel that is computed from those has
    something to be checked against.
    """
    definition = settings.encoding(encoding)
    family = FAMILIES.get(definition.family)
    if family is None:
        return None
    return family.floor(family.settings(**definition.settings), settings.model.head_dim, settings.training.length)
