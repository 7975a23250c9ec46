"""What the tracking store should hold of each model, read from the study's files alone."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hope.config import Study, parse_study
from hope.errors import UserError
from hope.files import read_json
from hope.paths import SNAPSHOTS, RunPaths, StudyPaths
from hope.tracking.summaries import TABLES, Point, history_points, stage_points

# Stages by the name of their record, in the order in which a description lists their numbers.
RECORDS = {
    "extrapolate": "extrapolation.json",
    "retrieve": "retrieval.json",
    "analyze-attention": "provenance.json",
    "analyze-dynamics": "dynamics.json",
}


@dataclass
class RunContent:
    """One run as it should be.

    Attributes:
        key: the tag ``hope.run`` that finds it: ``study``, ``<arm>/<encoding>/seed<k>`` or that with a stage.
        name: what the UI calls it.
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
    return {prefix: settings if isinstance(settings, str) and settings else json.dumps(settings)}


def live_content(paths: RunPaths, settings: dict[str, Any]) -> RunContent:
    """Return what is known of a model's run when its training starts."""
    return RunContent(paths.name, paths.name, params=flatten(settings), tags={**_model_tags(paths), "stage": "train"})


def _model_tags(paths: RunPaths) -> dict[str, str]:
    return {"arm": paths.arm, "encoding": paths.encoding, "seed": str(paths.seed)}


def read_models(study: Path) -> list[RunContent]:
    """Return the runs of all models of a study, each followed by those of its stages.

    A model counts once its training has written ``run.json``, a stage once its record is there.

    Raises:
        UserError: a file is damaged.
    """
    runs: list[RunContent] = []
    config = StudyPaths(study).config
    # Without the study's config it is not known what its tables measure.
    settings = parse_study(read_json(config), str(config)) if config.is_file() else None
    for path in sorted(study.glob("models/*/*/seed*/run.json")):
        paths = RunPaths.of_model(path.parent)
        try:
            runs += _read_model(study, settings, paths)
        except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
            raise UserError(
                f"{paths.model} or its analysis or evaluation: a table or record is not as expected "
                f"({type(error).__name__}: {' '.join(str(error).split())}); delete what is damaged, run the study again"
            ) from error
    return runs


def _read_model(study: Path, settings: Study | None, paths: RunPaths) -> list[RunContent]:
    record = read_json(paths.model / "run.json")
    model = _content(study, paths.name, paths.name, record, paths.model, "run.json")
    model.points = history_points(paths.model / "history.parquet")
    model.points.append(Point("training_seconds", 0, float(record["seconds"]), model.ended))
    stages = []
    for stage, name in RECORDS.items():
        folder = paths.analysis if stage.startswith("analyze") else paths.evaluation
        if not (folder / name).is_file():
            continue
        key = f"{paths.name}/{stage}"
        content = _content(study, key, f"{paths.name} {stage}", read_json(folder / name), folder, name)
        content.parent = paths.name
        content.points = stage_points(stage, folder, settings.arm(paths.arm), content.ended) if settings else []
        stages.append(content)
    for content in [model, *stages]:
        content.tags |= _model_tags(paths)
    # The model's own row carries what its stages found: the UI compares rows, and folds nested ones away.
    model.points += [point for stage in stages for point in stage.points]
    model.note = _model_note(paths, record, model.points)
    return [model, *stages]


def _content(study: Path, key: str, name: str, record: dict[str, Any], folder: Path, own: str) -> RunContent:
    """Return the part of a run that a stage's record gives."""
    stage = record["stage"]
    started = round(datetime.fromisoformat(record["started"]).timestamp() * 1000)
    tags = {"stage": stage, **_code_tags(record)}
    # Several stages write into one folder; the attention's analysis has tables without a summary too.
    wanted = (
        {f"{table}.parquet" for table in TABLES[stage]} | {own}
        if stage in TABLES and stage != "analyze-attention"
        else None
    )
    others = {"dynamics.parquet", "dynamics.json"} if stage == "analyze-attention" else set()
    artifacts = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".") and (wanted is None or path.name in wanted)
        # Snapshots are as large as the model, each of them, and no result.
        if path.parent.name != SNAPSHOTS and path.name not in others
    }
    return RunContent(
        key,
        name,
        params=flatten(record["settings"]),
        tags=tags,
        note=f"Stage `{stage}` of `{'/'.join(key.split('/')[:3])}`: {record['seconds']:.1f} s.",
        artifacts=artifacts,
        started=started,
        ended=started + round(1000 * record["seconds"]),
    )


def _code_tags(record: dict[str, Any]) -> dict[str, str]:
    tags = {
        "code": record.get("code"),
        "environment": record.get("environment"),
        "settings_sha256": record.get("settings_sha256"),
    }
    if record.get("commit"):
        # MLflow's own tag, which the UI shows beside the source.
        tags |= {"mlflow.source.git.commit": record["commit"], "git_dirty": json.dumps(record.get("dirty"))}
    tags["mlflow.source.name"] = f"python -m hope {record['stage']}"
    tags["mlflow.source.type"] = "LOCAL"
    return {name: value for name, value in tags.items() if value}


def _model_note(paths: RunPaths, record: dict[str, Any], points: list[Point]) -> str:
    """Return the description of a model's run."""
    curve = [point for point in points if point.name == "text_loss"]
    lines = [f"Decoder with `{paths.encoding}` positions, seed {paths.seed}."]
    if curve:
        last = curve[-1]
        lines.append(f"Step {last.step} after {record['seconds']:.0f} s; text loss {last.value:.3f} nats a token.")
    scalars = [point for point in points if "/" in point.name and not point.name.startswith("by_")]
    if scalars:
        lines += [
            "",
            "| measure | value |",
            "|---|---|",
            *(f"| {point.name} | {point.value:.4g} |" for point in scalars),
        ]
    return "\n".join(lines)
