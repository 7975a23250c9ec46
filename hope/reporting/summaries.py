"""Summary tables: mean levels, the U-shape by layer, retrieval and cost, as CSV and Parquet."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd

from hope.config import Arm
from hope.errors import UserError
from hope.files import read_json, whole_file
from hope.measures import MEASURES, QUALIFIERS, Endpoint, known
from hope.paths import RunPaths, StudyPaths
from hope.reporting.estimates import SHARE, Cell, Observations, by_arm, interval_columns, matrices
from hope.reporting.study_tables import ArmTables, StudyTables
from hope.statistics import crossed_mean

BASELINE = "rope"
ALL_LAYERS = -1


def write_summaries(tables: StudyTables, frame: pd.DataFrame) -> None:
    """Write ``losses``, ``attention``, ``ushape``, ``retrieval`` and ``cost`` under ``tables/``.

    Args:
        tables: the study.
        frame: its endpoints.
    """
    observations = by_arm(frame, tables.arms)
    makers: dict[str, Callable[[ArmTables, Observations], pd.DataFrame]] = {
        "losses": lambda arm, own: levels(own, arm, "losses"),
        "attention": lambda arm, own: levels(own, arm, "attention"),
        "ushape": lambda arm, own: ushape(arm),
        "retrieval": lambda arm, own: retrieval(arm, own),
        "cost": lambda arm, own: cost(arm),
    }
    for name, maker in makers.items():
        parts = [maker(arm, observations[arm.name]) for arm in tables.arms.values()]
        for arm, part in zip(tables.arms, parts, strict=True):
            part.insert(0, "arm", arm)
        filled = [part for part in parts if len(part)] or parts[:1]
        write_summary(tables.paths, name, pd.concat(filled, ignore_index=True))


def write_summary(paths: StudyPaths, name: str, table: pd.DataFrame) -> None:
    """Write a table under ``tables/``, as CSV and as Parquet."""
    with whole_file(paths.tables / f"{name}.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    with whole_file(paths.tables / f"{name}.parquet") as temporary:
        table.to_parquet(temporary, index=False)


def levels(observations: Observations, tables: ArmTables, summary: str) -> pd.DataFrame:
    """Return the mean of each endpoint that a summary table shows, by encoding."""
    measures = [entry for entry in MEASURES.values() if summary in entry.source.summaries]
    qualifiers = [name for name in QUALIFIERS if any(name in entry.takes for entry in measures)]
    rows = []
    for endpoint in (each for each in observations.endpoints if known(each) in measures):
        for encoding in tables.encodings:
            estimate = observations.level(Cell(encoding, endpoint))
            if estimate is None:
                continue
            row = {**endpoint.columns, "encoding": encoding, "scale": known(endpoint).scale}
            row |= interval_columns(estimate, tables.confidence)
            rows.append(row | {"perplexity": math.exp(estimate.mean) if known(endpoint).loss else math.nan})
    columns = ["measure", *qualifiers, "encoding", "estimate", "low", "high", "df", "seeds", "units", "scale"]
    return pd.DataFrame(rows, columns=[*columns, *(["perplexity"] if summary == "losses" else [])])


def baseline_of(settings: Arm, encoding: str, family: str = BASELINE) -> str | None:
    """Return the encoding that another is compared with: ``rope``, trained on the same mixture of text and tasks.

    An encoding trained on text alone is compared with one of the family that was too, or with none (None), because
    the training data would differ and not the encoding alone.

    Args:
        settings: the arm.
        encoding: one of its encodings.
        family: ``hope`` for a comparison with HoPE instead.
    """
    text_only = settings.encoding(encoding).text_only
    known = [settings.encoding(name) for name in settings.encodings]
    if text_only:
        like = [other.name for other in known if other.text_only and other.family == family]
    else:
        like = [other.name for other in known if other.name == family and not other.text_only]
    return like[0] if like and like[0] != encoding else None


def ushape(tables: ArmTables) -> pd.DataFrame:
    """Return the U-shape index by encoding, subject, query and layer, with the first token and without.

    Layer -1 is the mean over all layers; the intervals are over crossed seeds and documents.
    """
    frame = tables.read("ushape")
    if frame.empty:
        return frame
    frame = pd.concat([frame.assign(layer=ALL_LAYERS), frame])
    keys, rows = ["encoding", "subject", "query", "layer"], []
    for name, first_token in (("index", True), ("index_without_sink", False)):
        for cell, matrix in matrices(frame, keys, name, "document"):
            labels = dict(zip(keys, cell, strict=True)) | {"first_token": first_token}
            estimate = crossed_mean(matrix.to_numpy())
            rows.append(labels | interval_columns(estimate, tables.confidence) | {"scale": "densities"})
    return pd.DataFrame(rows)


def retrieval(tables: ArmTables, observations: Observations) -> pd.DataFrame:
    """Return accuracy and exact match by task, prompt length and encoding, beside chance.

    A task with depths has one row for all depths together, its ``depth`` NaN, and one row per depth.
    """
    tasks, prompts, rows = tables.arm.retrieval.tasks, tables.read("retrieval"), []
    scored = [endpoint for endpoint in observations.endpoints if endpoint.measure == "accuracy"]
    for endpoint in sorted(scored, key=lambda each: _order(each, tasks)):
        for encoding in tables.encodings:
            accuracy = observations.level(Cell(encoding, endpoint))
            exact = observations.level(Cell(encoding, replace(endpoint, measure="exact")))
            if accuracy is None or exact is None:
                continue
            interval, of_exact = (interval_columns(each, tables.confidence, SHARE) for each in (accuracy, exact))
            own = prompts[(prompts["encoding"] == encoding) & (prompts["task"] == endpoint.task)]
            rows.append(
                {
                    **endpoint.columns,
                    "encoding": encoding,
                    **_prompt_facts(own, endpoint, tables.length),
                    **interval,
                    "accuracy": interval["estimate"],
                    "exact": of_exact["estimate"],
                    "exact_low": of_exact["low"],
                    "exact_high": of_exact["high"],
                }
            )
    columns = ["task", "trained", "length", "multiple", "depth", "encoding", "accuracy", "low", "high", "chance"]
    columns += ["prompts", "standard_error", "df", "seeds", "units", "exact", "exact_low", "exact_high"]
    return pd.DataFrame(rows, columns=columns).astype({"depth": "float64"})


def _order(endpoint: Endpoint, tasks: list[str]) -> tuple[int, float, float]:
    """Return the sorting key of an endpoint: task in the config's order, length, depth (all depths first)."""
    assert endpoint.task is not None and endpoint.multiple is not None
    return tasks.index(endpoint.task), endpoint.multiple, -1.0 if endpoint.depth is None else endpoint.depth


def _prompt_facts(own: pd.DataFrame, endpoint: Endpoint, length: int) -> dict[str, Any]:
    """Return the columns that describe the prompts of a cell, from one encoding's prompts of the task.

    ``prompts`` is their number for one model, each depth counted; ``standard_error`` is that of one model's accuracy
    over its prompts (the root mean square over seeds).
    """
    assert endpoint.multiple is not None
    tokens = round(endpoint.multiple * length)
    own = own[own["length"] == tokens]
    own = own if endpoint.depth is None else own[own["depth"] == endpoint.depth]
    by_prompt = own.groupby(["seed", "example"])["accuracy"].mean().groupby("seed")
    errors = [float(one.var(ddof=1)) / len(one) for _, one in by_prompt]
    prompts = own[own["seed"] == own["seed"].iloc[0]]
    return {
        "trained": bool(prompts["trained"].iloc[0]),
        "length": tokens,
        "chance": float(prompts["chance"].mean()),
        "prompts": len(prompts),
        "standard_error": math.sqrt(sum(errors) / len(errors)),
    }


def cost(tables: ArmTables) -> pd.DataFrame:
    """Return the cost of each training, one row per model.

    Tokens, seconds of the training steps and tokens per second come from ``history.parquet``; ``stage_seconds``, the
    seconds of the whole stage with start, checkpoints and export, from ``run.json`` (after a resume, those of the last
    process only); the number of parameters from the header of ``model.safetensors``.
    """
    rows = []
    for encoding, seed in tables.arm.runs():
        run, history = tables.paths.run(tables.name, encoding, seed), tables.of_model("history", encoding, seed)
        since_last_point = history["tokens"].diff().fillna(history["tokens"].iloc[0])
        seconds = float((since_last_point / history["tokens_per_second"]).sum())
        tokens = int(history["tokens"].iloc[-1])
        record = read_json(run.model / "run.json") if (run.model / "run.json").exists() else {}
        rows.append(
            {
                "encoding": encoding,
                "seed": seed,
                "parameters": _parameters(run),
                "steps": int(history["step"].iloc[-1]),
                "tokens": tokens,
                "seconds": seconds,
                "tokens_per_second": tokens / seconds,
                "stage_seconds": float(record.get("seconds", math.nan)),
            }
        )
    return pd.DataFrame(rows)


def _parameters(run: RunPaths) -> int:
    """Return the number of parameters in ``model.safetensors``, from its header alone.

    The file begins with the header's length (8 bytes, little-endian) and the header, JSON.
    """
    path = run.model / "model.safetensors"
    try:
        with open(path, "rb") as handle:
            header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run the study to its end first") from None
    except ValueError as error:
        raise UserError(f"{path}: no safetensors file ({error}); delete it and run the study again") from None
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
