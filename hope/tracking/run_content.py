"""What the tracking store should hold of each model, read from the study's files alone."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hope.config import parse_study
from hope.errors import UserError
from hope.files import read_json
from hope.paths import SNAPSHOTS, RunPaths, StudyPaths
from hope.tracking.summaries import Point, history_points, stage_points

# Stages by the name of their record, in the order in which a description lists their numbers.
RECORDS = {
    "extrapolate": "extrapolation.json",
    "retrieve": "retrieval.json",
    "analyze-attention": "provenance.json",
    "analyze-dynamics": "dynamics.json",
}
# Stands in a description for the address of the run's artifacts in the UI, known once the run is made.
ARTIFACTS_ADDRESS = "ARTIFACTS-ADDRESS"
# Characters that every store takes in a param or a description.
MOST_TEXT = 6_000


@dataclass
class RunContent:
    """One run as it should be.

    Attributes:
        key: the tag ``hope.run`` that finds it: ``study``, ``<arm>/<encoding>/seed<k>`` or that with a stage.
        name: its name in the UI.
        parent: key of the run that it is nested in.
        params: settings by dotted name.
        points: metrics.
        tags: of ours.
        note: its description, in Markdown.
        artifacts: files by the artifact's name.
        started: milliseconds since 1970; ``ended`` likewise.
    """

    key: str
    name: str
    parent: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    note: str = ""
    artifacts: dict[str, Path] = field(default_factory=dict)
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
    text = settings if isinstance(settings, str) and settings else json.dumps(settings)
    return {prefix: text[:MOST_TEXT]}


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

    A model counts once its training has written ``run.json``, a stage once its record is there.

    Raises:
        UserError: a file is damaged.
    """
    config = StudyPaths(study).config
    # Without the study's config it is not known what its tables measure.
    settings = parse_study(read_json(config), str(config)) if config.is_file() else None
    runs: list[RunContent] = []
    for record in sorted(study.glob("models/*/*/seed*/run.json")):
        paths = RunPaths.of_model(record.parent)
        with damage_in(f"{paths.model}, its analysis or evaluation"):
            model = _read_stage(paths, record)
            model.points = history_points(paths.model / "history.parquet")
            model.points.append(Point("training_seconds", 0, (model.ended - model.started) / 1000, model.ended))
            stages = []
            for stage, name in RECORDS.items():
                folder = paths.analysis if stage.startswith("analyze") else paths.evaluation
                if (folder / name).is_file():
                    run = _read_stage(paths, folder / name)
                    if settings:
                        run.points = stage_points(stage, folder, settings.arm(paths.arm), run.ended)
                    stages.append(run)
        # The model's own row carries what its stages found: the UI compares rows, and folds nested ones away.
        model.points += [point for run in stages for point in run.points]
        model.note = _model_note(paths, model)
        runs += [model, *stages]
    return runs


def _read_stage(paths: RunPaths, path: Path) -> RunContent:
    """Return the part of a run that the record of a stage of a model gives."""
    record, folder = read_json(path), path.parent
    stage, seconds = record["stage"], record["seconds"]
    started = round(datetime.fromisoformat(record["started"]).timestamp() * 1000)
    run = RunContent(paths.name, paths.name, params=flatten(record["settings"]))
    if stage != "train":
        run.key, run.name, run.parent = f"{paths.name}/{stage}", f"{paths.name} {stage}", paths.name
        run.note = f"Stage `{stage}` of `{paths.name}`: {seconds:.1f} s."
    run.started, run.ended = started, started + round(1000 * seconds)
    tags = {name: record.get(name) for name in ("code", "environment", "settings_sha256")}
    if record.get("commit"):
        # MLflow's own tag, which the UI shows beside the source.
        tags |= {"mlflow.source.git.commit": record["commit"], "git_dirty": json.dumps(record.get("dirty"))}
    source = {"mlflow.source.name": f"python -m hope {stage}", "mlflow.source.type": "LOCAL"}
    run.tags = {"stage": stage, **{name: tag for name, tag in tags.items() if tag}, **source, **_model_tags(paths)}
    # Snapshots are as large as the model, each of them, and no result.
    outputs = [Path(name) for name in record["outputs"] if Path(name).parent.name != SNAPSHOTS]
    files = [path, *(folder / output.name for output in outputs)]
    run.artifacts = {file.name: file for file in sorted(files) if file.is_file()}
    return run


def _model_tags(paths: RunPaths) -> dict[str, str]:
    return {"arm": paths.arm, "encoding": paths.encoding, "seed": str(paths.seed)}


def _model_note(paths: RunPaths, model: RunContent) -> str:
    """Return the description of a model's run."""
    lines = [f"Decoder with `{paths.encoding}` positions, seed {paths.seed}."]
    seconds = (model.ended - model.started) / 1000
    for point in [point for point in model.points if point.name == "text_loss"][-1:]:
        lines.append(f"Step {point.step} after {seconds:.0f} s; text loss {point.value:.3f} nats a token.")
    scalars = [point for point in model.points if "/" in point.name and not point.name.startswith("by_")]
    if scalars:
        lines += ["", "| measure | value |", "|---|---|"]
        lines += [f"| {point.name} | {point.value:.4g} |" for point in scalars]
    return "\n".join(lines)
