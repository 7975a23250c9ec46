"""How far the trainings of a study are, read from their files alone: no numerical library is loaded."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hope import config
from hope.adopt import check_layout
from hope.errors import UserError
from hope.files import lock_holder, read_json
from hope.paths import RESULTS, RunPaths, StudyPaths, snapshot_files
from hope.tracking.store import find_study
from hope.training.failures import circumstances, failure_note, noted_failure
from hope.training.fingerprint import fingerprint, run_name
from hope.training.heartbeat import last_heartbeat
from hope.words import duration, table

STATES = ("done", "training", "starting", "silent", "stopped", "failed", "waiting")


@dataclass(frozen=True)
class Progress:
    """Where one training stands.

    Attributes:
        model: ``<arm>/<encoding>/seed<k>``.
        state: one of :data:`STATES`. A silent one holds its lock but has shown no sign of life for long; a
            stopped one goes on from its last checkpoint when the study is run again.
        share: part of its steps that are done, or None if unknown.
        loss: at the last point of the loss curve, nats, or None.
        tokens_per_second: or None.
        seconds_left: or None.
        remark: what else there is to say.
    """

    model: str
    state: str
    share: float | None = None
    loss: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    remark: str = ""


def study_status(study: Path | None, configfiles: list[Path]) -> str:
    """Return the table of a study's trainings.

    Args:
        study: its name or folder, whose resolved config is read; None for the study of the config files.
        configfiles: overlays over ``config.yaml``.

    Raises:
        UserError: there is no such study, or the config is wrong.
    """
    if study is None or configfiles:
        described = config.load_study(config.with_base(configfiles))
        name = study or Path(described.study)
        # One that has just begun is not found yet, but then the config says where it is.
        folder = RESULTS / name if name == Path(described.study) else find_study(name)
        return progress_table(study_progress(described, folder))
    folder = find_study(study)
    check_layout(folder)
    resolved = StudyPaths(folder).config
    if not resolved.exists():
        raise UserError(f"{resolved}: not there yet; give the study's config with --configfile")
    return progress_table(study_progress(config.parse_study(read_json(resolved), str(resolved)), folder))


def study_progress(study: config.Study, folder: Path) -> list[Progress]:
    """Return where each training of a study stands, in the study's order.

    Args:
        study: the study.
        folder: of its results.
    """
    check_layout(folder)
    paths = StudyPaths(folder)
    return [
        progress
        for name, arm in study.arms.items()
        for progress in _arm_progress(arm, paths.data(arm.data_key), paths, name)
    ]


def _arm_progress(arm: config.Arm, data: Path, paths: StudyPaths, name: str) -> Iterator[Progress]:
    """Yield where each training of an arm stands; ``data`` is the arm's data folder."""
    try:
        digest = read_json(data / "train" / "manifest.json")["digest"]
    except (UserError, KeyError):
        # Nothing can have been trained on data that are not there.
        digest = None
    for encoding, seed in arm.runs():
        run = paths.run(name, encoding, seed)
        if digest is None:
            yield Progress(run.name, "waiting")
        else:
            yield _progress(arm.train_stage(encoding, seed), run, paths.checkpoints, data, digest)


def _progress(stage: config.TrainStage, run: RunPaths, checkpoints: Path, data: Path, digest: str) -> Progress:
    key = fingerprint(stage, digest)
    name = run_name(stage, key)
    if (run.model / "run.json").exists():
        return Progress(run.name, "done", 1.0, _last_loss(run.model), remark=_difference(stage, run.model, key))
    holder = lock_holder(checkpoints / f"{name}.lock")
    beat = last_heartbeat(checkpoints / name)
    # A process that still loads its checkpoint has the heartbeat of the one before it.
    if holder and (beat is None or holder != f"process {beat['process']} on {beat['host']}"):
        return Progress(run.name, "starting", remark=holder)
    note = failure_note(checkpoints, name)
    failure = noted_failure(note, circumstances(stage.training, data)) if note.exists() and not holder else None
    if beat is None:
        return Progress(run.name, "failed" if failure else "waiting", remark=failure or "")
    share, loss, speed = beat["step"] / beat["steps"], beat["loss"], beat["tokens_per_second"]
    if not holder:
        return Progress(run.name, "failed" if failure else "stopped", share, loss, remark=failure or "")
    if time.time() > beat["silent_after"]:
        ago = duration(time.time() - beat["time"])
        return Progress(run.name, "silent", share, loss, remark=f"no sign of life for {ago} from {holder}")
    return Progress(run.name, "training", share, loss, speed, beat["seconds_left"], holder)


def _difference(stage: config.TrainStage, model: Path, key: str) -> str:
    """Return in what a finished model is not what the study asks for now; empty where it is."""
    if _fingerprint_of(model) != key:
        return "with other settings or data than now"
    missing = sum(not path.exists() for path in snapshot_files(model, stage.training.snapshot_steps))
    return f"without {missing} of its snapshots: it will be trained again for them" if missing else ""


def _fingerprint_of(model: Path) -> str | None:
    try:
        return str(read_json(model / "config.json").get("fingerprint"))
    except UserError:
        return None


def _last_loss(model: Path) -> float | None:
    import pyarrow.parquet as pq

    try:
        return float(pq.read_table(model / "history.parquet", columns=["loss"])["loss"][-1].as_py())
    except (OSError, KeyError, IndexError, ValueError):
        return None


def progress_table(trainings: list[Progress]) -> str:
    """Return the trainings as lines of text, with a sum of their states at the end."""
    rows = [("model", "state", "done", "loss", "tokens/s", "left", "")]
    for one in trainings:
        rows.append(
            (
                one.model,
                one.state,
                "" if one.share is None else f"{one.share:.0%}",
                "" if one.loss is None else f"{one.loss:.3f}",
                "" if one.tokens_per_second is None else f"{one.tokens_per_second:,.0f}",
                "" if one.seconds_left is None else duration(one.seconds_left),
                one.remark,
            )
        )
    lines = table(rows, left=(0, 1, 6))
    counts = {state: sum(one.state == state for one in trainings) for state in STATES}
    summary = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines.append(f"{len(trainings)} models: {summary}")
    return "\n".join(lines)
