"""Summary tables for people: levels, exploratory comparisons, retrieval and cost, as CSV and Parquet."""

import json
import math
from pathlib import Path

import pandas as pd

from hope.config import Study
from hope.errors import UserError
from hope.files import read_json, whole_file
from hope.paths import RunPaths, StudyPaths
from hope.reporting.estimates import Observations, Side, percent
from hope.reporting.measures import Measure, measure_named, multiple_name
from hope.statistics import Estimate, holm

BASELINE = "rope"


def write_summaries(paths: StudyPaths, settings: Study, frame: pd.DataFrame) -> None:
    """Write ``losses``, ``attention``, ``comparisons``, ``retrieval`` and ``cost`` under ``tables/``.

    Args:
        paths: the study's paths.
        settings: its config.
        frame: its endpoints.
    """
    observations, confidence = Observations(frame), settings.report.confidence
    tables = {
        "losses": levels(observations, settings, confidence, ("extrapolation", "context")),
        "attention": levels(observations, settings, confidence, ("ushape", "divergence", "intervention", "components")),
        "comparisons": comparisons(observations, settings, confidence),
        "retrieval": retrieval(paths, observations, settings, confidence),
        "cost": cost(paths, settings),
    }
    for name, table in tables.items():
        with whole_file(paths.tables / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        with whole_file(paths.tables / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)


def _interval(estimate: Estimate, confidence: float, share: bool = False) -> dict:
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
        "df": estimate.df if known else math.nan,
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
            row = {"measure": measure, "encoding": encoding, **_interval(estimate, confidence), "scale": known.scale}
            if "extrapolation" in sources:
                row["perplexity"] = math.exp(estimate.mean) if known.loss else math.nan
            rows.append(row)
    columns = ["measure", "encoding", "estimate", "low", "high", "df", "seeds", "units", "scale"]
    columns += ["perplexity"] if "extrapolation" in sources else []
    return pd.DataFrame(rows, columns=columns)


def baseline_of(settings: Study, encoding: str) -> str | None:
    """Return what an encoding is compared with: ``rope``, trained on the same mixture of text and tasks.

    An encoding that was trained on text alone is compared with an encoding of the family ``rope`` that
    was too; None where there is none, for the text would differ and not the encoding alone.
    """
    text_only = settings.encoding(encoding).text_only
    known = [settings.encoding(name) for name in settings.encodings]
    if text_only:
        like = [other.name for other in known if other.text_only and other.family == BASELINE]
    else:
        like = [other.name for other in known if other.name == BASELINE and not other.text_only]
    return like[0] if like and like[0] != encoding else None


def comparisons(observations: Observations, settings: Study, confidence: float) -> pd.DataFrame:
    """Return every encoding against its baseline in every measure: the exploratory family.

    ``p`` is two-sided against no difference; ``holm_p`` is corrected over all rows that have one. A
    single seed has none: it says nothing about encodings.
    """
    rows = []
    for measure in observations.measures:
        known = _known(measure)
        for encoding in settings.encodings if known.compared else []:
            baseline = baseline_of(settings, encoding)
            if baseline is None:
                continue
            difference = observations.difference(
                Side(encoding=encoding, measure=measure), Side(encoding=baseline, measure=measure)
            )
            if difference is None:
                continue
            interval = _interval(difference.estimate, confidence)
            in_percent = [percent(interval[key]) if known.loss else math.nan for key in ("estimate", "low", "high")]
            rows.append(
                {
                    "family": "exploratory",
                    "measure": measure,
                    "encoding": encoding,
                    "baseline": baseline,
                    "better": known.better,
                    **interval,
                    "scale": known.scale,
                    **dict(zip(("percent", "percent_low", "percent_high"), in_percent, strict=True)),
                    "p": difference.estimate.p_value() if difference.estimate.decides else math.nan,
                    "holm_p": math.nan,
                }
            )
    columns = ["family", "measure", "encoding", "baseline", "better", "estimate", "low", "high", "df", "seeds", "units"]
    table = pd.DataFrame(rows, columns=[*columns, "scale", "percent", "percent_low", "percent_high", "p", "holm_p"])
    tested = table["p"].notna()
    table.loc[tested, "holm_p"] = holm(table.loc[tested, "p"].tolist())
    return table


def retrieval(paths: StudyPaths, observations: Observations, settings: Study, confidence: float) -> pd.DataFrame:
    """Return accuracy and exact match by task, prompt length and encoding, beside chance."""
    rows = []
    facts = _retrieval_facts(paths, settings)
    for task in settings.retrieval.tasks:
        for multiple in settings.retrieval.multiples:
            length = round(multiple * settings.training.length)
            for encoding in settings.encodings:
                accuracy = observations.level(encoding, f"{task}_accuracy_{multiple_name(multiple)}")
                exact = observations.level(encoding, f"{task}_exact_{multiple_name(multiple)}")
                if accuracy is None or exact is None:
                    continue
                trained, chance = facts[(task, length, encoding)]
                interval = _interval(accuracy, confidence, share=True)
                of_exact = _interval(exact, confidence, share=True)
                rows.append(
                    {
                        "task": task,
                        "trained": trained,
                        "length": length,
                        "multiple": multiple,
                        "encoding": encoding,
                        "accuracy": interval.pop("estimate"),
                        "chance": chance,
                        **interval,
                        "exact": of_exact["estimate"],
                        "exact_low": of_exact["low"],
                        "exact_high": of_exact["high"],
                    }
                )
    columns = ["task", "trained", "length", "multiple", "encoding", "accuracy", "low", "high", "chance"]
    return pd.DataFrame(rows, columns=[*columns, "df", "seeds", "units", "exact", "exact_low", "exact_high"])


def _retrieval_facts(paths: StudyPaths, settings: Study) -> dict[tuple[str, int, str], tuple[bool, float]]:
    """Return whether a task was trained, and chance, by task, length and encoding."""
    facts = {}
    for encoding, seed in settings.runs():
        table = pd.read_parquet(paths.run(encoding, seed).evaluation / "retrieval.parquet")
        cells = table.groupby(["task", "length"], as_index=False)[["trained", "chance"]].mean()
        for cell in cells.to_dict("records"):
            facts[(cell["task"], cell["length"], encoding)] = bool(cell["trained"]), float(cell["chance"])
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
