"""Summary tables for people: levels, the U-shape by layer, retrieval and cost, as CSV and Parquet."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from hope.config import Study
from hope.errors import UserError
from hope.files import read_json, whole_file
from hope.paths import RunPaths, StudyPaths
from hope.reporting.estimates import Observations
from hope.reporting.measures import Measure, measure_named, multiple_name
from hope.statistics import Estimate, crossed_mean

BASELINE = "rope"
ALL_LAYERS = -1


def write_summaries(paths: StudyPaths, settings: Study, frame: pd.DataFrame) -> None:
    """Write ``losses``, ``attention``, ``ushape``, ``retrieval`` and ``cost`` under ``tables/``.

    Args:
        paths: the study's paths.
        settings: its config.
        frame: its endpoints.
    """
    observations, confidence = Observations(frame), settings.report.confidence
    tables = {
        "losses": levels(observations, settings, confidence, ("extrapolation", "context", "strided")),
        "attention": levels(observations, settings, confidence, ("ushape", "divergence", "intervention", "components")),
        "ushape": ushape(paths, settings, confidence),
        "retrieval": retrieval(paths, observations, settings, confidence),
        "cost": cost(paths, settings),
    }
    for name, table in tables.items():
        write_summary(paths, name, table)


def write_summary(paths: StudyPaths, name: str, table: pd.DataFrame) -> None:
    """Write a table under ``tables/``, as CSV and as Parquet."""
    with whole_file(paths.tables / f"{name}.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    with whole_file(paths.tables / f"{name}.parquet") as temporary:
        table.to_parquet(temporary, index=False)


def interval_columns(estimate: Estimate, confidence: float, share: bool = False) -> dict:
    """Return the columns of an estimate; no interval where a single seed is all there is.

    Args:
        estimate: what is shown.
        confidence: of the interval.
        share: whether it is a share of tokens or prompts: its interval is cut to 0 and 1, and left out
            where all observations are equal, for a model at its ceiling need not be perfect.
    """
    low, high = estimate.interval(confidence)
    if share:
        low, high = max(0.0, low), min(1.0, high)
    known = estimate.decides and not (share and estimate.variance == 0)
    return {
        "estimate": estimate.mean,
        "low": low if known else math.nan,
        "high": high if known else math.nan,
        "df": estimate.df(confidence) if known else math.nan,
        "seeds": estimate.seeds,
        "units": estimate.units,
    }


def _known(measure: str) -> Measure:
    found = measure_named(measure)
    assert found is not None, f"{measure} is missing from hope.reporting.measures"
    return found


def levels(observations: Observations, settings: Study, confidence: float, sources: tuple[str, ...]) -> pd.DataFrame:
    """Return the mean of each measure that comes from one of the tables ``sources``, by encoding."""
    rows = []
    for measure in observations.measures:
        known = _known(measure)
        if Path(known.table).stem not in sources:
            continue
        for encoding in settings.encodings:
            estimate = observations.level(encoding, measure)
            if estimate is None:
                continue
            row = {
                "measure": measure,
                "encoding": encoding,
                **interval_columns(estimate, confidence),
                "scale": known.scale,
            }
            if "extrapolation" in sources:
                row["perplexity"] = math.exp(estimate.mean) if known.loss else math.nan
            rows.append(row)
    columns = ["measure", "encoding", "estimate", "low", "high", "df", "seeds", "units", "scale"]
    columns += ["perplexity"] if "extrapolation" in sources else []
    return pd.DataFrame(rows, columns=columns)


def baseline_of(settings: Study, encoding: str, family: str = BASELINE) -> str | None:
    """Return what an encoding is compared with: ``rope``, trained on the same mixture of text and tasks.

    An encoding that was trained on text alone is compared with an encoding of that family that was too;
    None where there is none, for the text would differ and not the encoding alone.

    Args:
        settings: the study.
        encoding: a name of the study.
        family: ``hope`` for a comparison with HoPE instead.
    """
    text_only = settings.encoding(encoding).text_only
    known = [settings.encoding(name) for name in settings.encodings]
    if text_only:
        like = [other.name for other in known if other.text_only and other.family == family]
    else:
        like = [other.name for other in known if other.name == family and not other.text_only]
    return like[0] if like and like[0] != encoding else None


def ushape(paths: StudyPaths, settings: Study, confidence: float) -> pd.DataFrame:
    """Return the U-shape index by encoding, subject, query and layer, with the first token and without.

    Layer -1 is the mean over all of them; documents and seeds are crossed.
    """
    parts = [
        pd.read_parquet(paths.run(encoding, seed).analysis / "ushape.parquet").assign(encoding=encoding, seed=seed)
        for encoding, seed in settings.runs()
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame = pd.concat([frame.assign(layer=ALL_LAYERS), frame])
    keys, rows = ["encoding", "subject", "query", "layer"], []
    for name, first_token in (("index", True), ("index_without_sink", False)):
        means = frame.groupby([*keys, "seed", "document"])[name].mean().unstack("document")
        for cell, matrix in means.groupby(level=keys, sort=True):
            estimate = crossed_mean(matrix.dropna(axis=1).to_numpy())
            labels = dict(zip(keys, cell, strict=True)) | {"first_token": first_token}
            rows.append(labels | interval_columns(estimate, confidence) | {"scale": "densities"})
    return pd.DataFrame(rows)


def retrieval(paths: StudyPaths, observations: Observations, settings: Study, confidence: float) -> pd.DataFrame:
    """Return accuracy and exact match by task, prompt length and encoding, beside chance.

    A task with depths has a row for all of them together, ``depth`` NaN, and one for each. ``prompts`` are those of
    one model in the cell, depths counted apart; ``standard_error`` is that of one model's accuracy, over its prompts
    alone (the root mean square over seeds).
    """
    rows = []
    for (task, length, encoding, depth), facts in _retrieval_facts(paths, settings).items():
        multiple = next(m for m in settings.retrieval.multiples if round(m * settings.training.length) == length)
        place = "" if math.isnan(depth) else f"_depth{depth:g}"
        accuracy = observations.level(encoding, f"{task}_accuracy_{multiple_name(multiple)}{place}")
        exact = observations.level(encoding, f"{task}_exact_{multiple_name(multiple)}{place}")
        if accuracy is None or exact is None:
            continue
        interval = interval_columns(accuracy, confidence, share=True)
        of_exact = interval_columns(exact, confidence, share=True)
        rows.append(
            {
                "task": task,
                "length": length,
                "multiple": multiple,
                "depth": depth,
                "encoding": encoding,
                "accuracy": interval.pop("estimate"),
                **facts,
                **interval,
                "exact": of_exact["estimate"],
                "exact_low": of_exact["low"],
                "exact_high": of_exact["high"],
            }
        )
    columns = ["task", "trained", "length", "multiple", "depth", "encoding", "accuracy", "low", "high", "chance"]
    columns += ["prompts", "standard_error", "df", "seeds", "units", "exact", "exact_low", "exact_high"]
    table = pd.DataFrame(rows, columns=columns)
    orders = [("task", settings.retrieval.tasks), ("encoding", settings.encodings)]
    keys = {name: table[name].map({known: place for place, known in enumerate(order)}) for name, order in orders}
    keys = {"task": keys["task"], "length": table["length"], "depth": table["depth"], "encoding": keys["encoding"]}
    return table.loc[pd.DataFrame(keys).sort_values(list(keys), na_position="first").index].reset_index(drop=True)


def _retrieval_facts(paths: StudyPaths, settings: Study) -> dict[tuple[str, int, str, float], dict[str, Any]]:
    """Return what is known of a cell besides its scores, by task, length, encoding and depth (NaN: all of them)."""
    facts: dict[tuple[str, int, str, float], dict[str, Any]] = {}
    runs: dict[tuple[str, int, str, float], list[float]] = {}
    for encoding, seed in settings.runs():
        table = pd.read_parquet(paths.run(encoding, seed).evaluation / "retrieval.parquet")
        for (task, length), part in table.groupby(["task", "length"]):
            cells: list[tuple[float, pd.DataFrame]] = [(math.nan, part)]
            cells += [(float(str(depth)), cell) for depth, cell in part.dropna(subset="depth").groupby("depth")]
            for depth, cell in cells:
                key = (str(task), int(str(length)), encoding, depth)
                by_prompt = cell.groupby("example")["accuracy"].mean()
                runs.setdefault(key, []).append(float(by_prompt.var(ddof=1)) / len(by_prompt))
                facts[key] = {
                    "trained": bool(cell["trained"].iloc[0]),
                    "chance": float(cell["chance"].mean()),
                    "prompts": len(cell),
                    "standard_error": math.sqrt(sum(runs[key]) / len(runs[key])),
                }
    return facts


def cost(paths: StudyPaths, settings: Study) -> pd.DataFrame:
    """Return what each training took, one row a model.

    Tokens, the seconds of the training steps and tokens a second come from ``history.parquet``; the seconds
    of the whole stage (start, checkpoints and export too, but of its last process alone if it was stopped
    and resumed) from ``run.json``; the number of parameters from the header of ``model.safetensors``.
    """
    rows = []
    for encoding, seed in settings.runs():
        run = paths.run(encoding, seed)
        path = run.model / "history.parquet"
        if not path.exists():
            raise UserError(f"{path}: there is no such file; run the study to its end first")
        history = pd.read_parquet(path)
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
