"""What the tracking store should hold of each model, read from the study's files alone."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hope.config import Arm, parse_study
from hope.errors import UserError
from hope.files import read_json
from hope.paths import SNAPSHOTS, RunPaths, StudyPaths
from hope.tracking.summaries import Point, history_points, stage_points

# Stands in a description for the address of the run's artifacts in the UI, known once the run is made.
ARTIFACTS_ADDRESS = "ARTIFACTS-ADDRESS"


@dataclass
class RunContent:
    """One run as it should be; ``artifacts`` are files by the artifact's name, times are in milliseconds since 1970."""

    key: str  # the tag that finds it: study, <arm>/<encoding>/seed<k> or that with /<stage>
    name: str
    parent: str | None = None  # key of the run that it is nested in
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""  # in Markdown
    artifacts: dict[str, Path] = field(default_factory=dict)
    datasets: list[dict[str, str]] = field(default_factory=list)  # that the run reads; see read_datasets
    started: int = 0
    ended: int = 0


def flatten(settings: Any, prefix: str = "") -> dict[str, str]:
    """Return nested settings by dotted name; lists, numbers and null as JSON."""
    if isinstance(settings, dict):
        return {
            name: text
            for key, value in settings.items()
            for name, text in flatten(value, f"{prefix}.{key}" if prefix else str(key)).items()
        }
    # A store may take an empty text for none.
    return {prefix: settings if isinstance(settings, str) and settings else json.dumps(settings)}


def live_content(paths: RunPaths, settings: dict[str, Any]) -> RunContent:
    """Return what is known of a model's run when its training starts."""
    return RunContent(paths.name, paths.name, params=flatten(settings), tags={**_model_tags(paths), "stage": "train"})


@contextlib.contextmanager
def damage_in(files: str) -> Iterator[None]:
    """Turn what a damaged file raises into one line that names ``files``.

    Raises:
        UserError: in place of the other errors.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise UserError(
            f"{files}: not as expected ({type(error).__name__}: {' '.join(str(error).split())}); "
            "delete what is damaged, run the study again"
        ) from error


def read_models(study: Path) -> list[RunContent]:
    """Return the runs of all models of a study, each followed by those of its stages.

    A model counts once its training has written ``run.json``, a stage once its record is there. Models that the
    study's config no longer lists are left out.

    Raises:
        UserError: a file is damaged.
    """
    config = StudyPaths(study).config
    # Without the study's config it is not known what its tables measure.
    settings = parse_study(read_json(config), str(config)) if config.is_file() else None
    listed = {StudyPaths(study).run(*run).name for run in settings.runs()} if settings else set()
    runs: list[RunContent] = []
    for record in sorted(study.glob("models/*/*/seed*/run.json")):
        paths = RunPaths.of_model(record.parent)
        if settings and paths.name not in listed:
            continue
        evaluation = [paths.evaluation / name for name in ("extrapolation.json", "retrieval.json")]
        analysis = [paths.analysis / name for name in ("provenance.json", "dynamics.json")]
        with damage_in(f"{paths.model}, its analysis or evaluation"):
            arm = settings.arm(paths.arm) if settings else None
            model = _read_stage(paths, record, None)
            stages = [_read_stage(paths, path, arm) for path in (*evaluation, *analysis) if path.is_file()]
            curve = history_points(paths.model / "history.parquet")
        duration = Point("training_seconds", 0, (model.ended - model.started) / 1000, model.ended)
        # The model's own row carries what its stages found: the UI compares rows, and folds nested ones away.
        model.points = [*curve, duration, *(point for stage in stages for point in stage.points)]
        model.note = _model_note(paths, model)
        model.datasets = read_datasets(StudyPaths(study), arm.data_key) if arm else []
        runs += [model, *stages]
    return runs


def read_datasets(study: StudyPaths, key: str) -> list[dict[str, str]]:
    """Return the corpus and the tokens in the data folder ``key`` as MLflow's datasets: empty without a prepared one.

    A dataset is named after its folder, and has a digest (MLflow keeps 36 characters of it), the place it came from as
    ``source``, and its counts as ``profile``, both as JSON.
    """
    path = study.corpus(key) / "corpus.json"
    corpus = read_json(path) if path.is_file() else {}
    if "digest" not in corpus:
        return []
    counts: dict[str, Any] = {
        name: corpus[name] for name in ("documents", "characters", "bytes", "sources", "split") if name in corpus
    }
    for split in ("train", "validation"):
        manifest = study.data(key) / split / "manifest.json"
        if manifest.is_file():
            counts[f"{split}_tokens"] = read_json(manifest).get("tokens")
    return [
        {
            "name": key,
            "digest": str(corpus["digest"])[:36],
            "source": json.dumps(corpus.get("origin", {}), sort_keys=True),
            "profile": json.dumps(counts, sort_keys=True),
        }
    ]


def _read_stage(paths: RunPaths, path: Path, arm: Arm | None) -> RunContent:
    """Return the run of a stage of a model, given the stage's record; ``arm`` has the settings of its measures."""
    record = read_json(path)
    stage, seconds = record["stage"], record["seconds"]
    run = RunContent(paths.name, paths.name, params=flatten(record["settings"]))
    run.started = round(datetime.fromisoformat(record["started"]).timestamp() * 1000)
    run.ended = run.started + round(1000 * seconds)
    tags = {name: record.get(name) for name in ("code", "environment", "settings_sha256")}
    if record.get("commit"):
        # MLflow's own tag, which the UI shows beside the source.
        tags |= {"mlflow.source.git.commit": record["commit"], "git_dirty": json.dumps(record.get("dirty"))}
    source = {"mlflow.source.name": f"python -m hope {stage}", "mlflow.source.type": "LOCAL"}
    run.tags = {"stage": stage, **{name: tag for name, tag in tags.items() if tag}, **source, **_model_tags(paths)}
    # Snapshots are as large as the model, each of them, and no result.
    outputs = [Path(name) for name in record["outputs"] if Path(name).parent.name != SNAPSHOTS]
    files = [path, *(path.with_name(output.name) for output in outputs)]
    run.artifacts = {file.name: file for file in sorted(files) if file.is_file()}
    if stage != "train":
        run.key, run.name, run.parent = f"{paths.name}/{stage}", f"{paths.name} {stage}", paths.name
        run.note = f"Stage `{stage}` of `{paths.name}`: {seconds:.1f} s."
        run.points = stage_points(run.artifacts.values(), arm, run.ended) if arm else []
    return run


def _model_tags(paths: RunPaths) -> dict[str, str]:
    return {"arm": paths.arm, "encoding": paths.encoding, "seed": str(paths.seed)}


def _model_note(paths: RunPaths, model: RunContent) -> str:
    """Return the description of a model's run."""
    lines = [f"Decoder with `{paths.encoding}` positions, seed {paths.seed}."]
    seconds = (model.ended - model.started) / 1000
    for point in [point for point in model.points if point.name == "text_loss"][-1:]:
        lines.append(f"Step {point.step} after {seconds:.0f} s; text loss {point.value:.3f} nats per token.")
    scalars = [point for point in model.points if "/" in point.name and not point.name.startswith("by_")]
    if scalars:
        lines += ["", "| measure | value |", "|---|---|"]
        lines += [f"| {point.name} | {point.value:.4g} |" for point in scalars]
    return "\n".join(lines)
