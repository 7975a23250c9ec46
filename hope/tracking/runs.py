"""Runs of the tracking store: written whole, or left alone."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag

from hope.files import sha256_of_file, sha256_of_json, write_json
from hope.paths import RunPaths
from hope.tracking.client import Tracker
from hope.tracking.run_content import ARTIFACTS_ADDRESS, RunContent, live_content
from hope.tracking.summaries import Point

KEY, DIGEST = "hope.run", "hope.digest"
DIGESTS = "digests.json"
# A run that is written anew keeps a user's tags, which are all others.
OUR_TAGS = {"arm", "code", "corpus_digest", "encoding", "environment", "git_dirty", "seed", "settings_sha256", "stage"}
OUR_PREFIXES = ("claim_", "hope.", "mlflow.")


def find_runs(tracker: Tracker) -> dict[str, list[Run]]:
    """Return the study's runs by their key, newest first."""
    runs: dict[str, list[Run]] = {}
    for run in tracker.client.search_runs([tracker.experiment], max_results=50_000):
        if KEY in run.data.tags:
            runs.setdefault(run.data.tags[KEY], []).append(run)
    return runs


def update_run(tracker: Tracker, content: RunContent, runs: Sequence[Run], parent: str | None) -> tuple[str, bool]:
    """Make the store hold one run with this content; return its id and whether anything changed.

    Args:
        tracker: the open store.
        content: the run as it should be.
        runs: the runs in the store that have its key.
        parent: id of the run that it is nested in.
    """
    states = {name: path.stat() for name, path in content.artifacts.items()}
    files = {name: (state.st_size, state.st_mtime_ns) for name, state in states.items()}
    digest = sha256_of_json({**vars(content), "artifacts": files, "parent": parent})
    same = [run for run in runs if run.data.tags.get(DIGEST) == digest and _has_artifacts(tracker, run, files)]
    identifier = same[0].info.run_id if same else _write(tracker, content, parent, digest, runs)
    others = [run for run in runs if run.info.run_id != identifier]
    for run in others:
        delete(tracker, run)
    return identifier, bool(others) or not same


def delete(tracker: Tracker, run: Run) -> None:
    """Delete a run and its links to the study's files; MLflow keeps the run among the deleted ones."""
    tracker.client.delete_run(run.info.run_id)
    if folder := tracker.artifact_folder(run):
        shutil.rmtree(folder.parent, ignore_errors=True)


def _write(tracker: Tracker, content: RunContent, parent: str | None, digest: str, before: Sequence[Run]) -> str:
    """Write a new run and return its id; its digest comes last, so that a run left half done is written again."""
    run = _create(tracker, content, content.started)
    identifier = run.info.run_id
    address = f"#/experiments/{tracker.experiment}/runs/{identifier}/artifacts"
    tags = {"mlflow.note.content": content.note.replace(ARTIFACTS_ADDRESS, address)}
    if parent:
        tags["mlflow.parentRunId"] = parent
    for name, value in before[0].data.tags.items() if before else ():
        if name not in OUR_TAGS and not name.startswith(OUR_PREFIXES):
            tags[name] = value
    tracker.client.log_batch(identifier, tags=[RunTag(*tag) for tag in tags.items()])
    _log_points(tracker, identifier, content.points)
    if content.datasets:
        tracker.client.log_inputs(identifier, [_as_input(dataset) for dataset in content.datasets])
    if folder := tracker.artifact_folder(run):
        _lay_out(folder, content.artifacts)
    else:
        with tempfile.TemporaryDirectory(dir=tracker.folder) as temporary:
            _lay_out(Path(temporary), content.artifacts)
            tracker.client.log_artifacts(identifier, temporary)
    tracker.client.set_terminated(identifier, "FINISHED", end_time=content.ended)
    tracker.client.set_tag(identifier, DIGEST, digest)
    return identifier


def _create(tracker: Tracker, content: RunContent, started: int) -> Run:
    """Create a run with its params and the tags that do not depend on its id."""
    tags = {KEY: content.key, **content.tags}
    run = tracker.client.create_run(tracker.experiment, start_time=started, tags=tags, run_name=content.name)
    tracker.client.log_batch(run.info.run_id, params=[Param(*param) for param in content.params.items()])
    return run


def _as_input(dataset: dict[str, str]) -> DatasetInput:
    """Return a dataset as what a run was trained on."""
    return DatasetInput(Dataset(**dataset, source_type="local"), [InputTag("mlflow.data.context", "training")])


def _log_points(tracker: Tracker, identifier: str, points: Sequence[Point]) -> None:
    metrics = [Metric(point.name, point.value, point.time, point.step) for point in points]
    tracker.client.log_batch(identifier, metrics=metrics)


def _has_artifacts(tracker: Tracker, run: Run, names: Iterable[str]) -> bool:
    """Return whether no artifact in the study's folder was removed; a server's are taken to be there."""
    folder = tracker.artifact_folder(run)
    return folder is None or all((folder / name).is_file() for name in (*names, DIGESTS))


def _lay_out(folder: Path, artifacts: dict[str, Path]) -> None:
    """Link files into an empty folder, or copy them where links are not possible; add ``digests.json``."""
    for name, source in artifacts.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)
    listing = {name: {"sha256": sha256_of_file(path), "bytes": path.stat().st_size} for name, path in artifacts.items()}
    write_json(folder / DIGESTS, listing)


class LiveRun:
    """The run of a model that is training."""

    def __init__(self, tracker: Tracker, paths: RunPaths, settings: dict[str, Any]) -> None:
        """Find the model's run, or make one.

        The run of a training that was cut short goes on. A run that has ended, or that has other settings, is
        replaced.
        """
        content = live_content(paths, settings)
        self.tracker = tracker
        self._seen: set[tuple[str, int]] = set()
        for run in find_runs(tracker).get(content.key, []):
            self.id = run.info.run_id
            if run.info.status != "FINISHED" and DIGEST not in run.data.tags and run.data.params == content.params:
                for name in run.data.metrics:
                    history = tracker.client.get_metric_history(self.id, name)
                    self._seen |= {(name, point.step) for point in history}
                tracker.client.update_run(self.id, status="RUNNING")
                return
            delete(tracker, run)
        self.id = _create(tracker, content, round(time.time() * 1000)).info.run_id

    def send(self, points: Sequence[dict[str, Any]]) -> None:
        """Send points; a resumed training repeats steps that the store has, which are left out."""
        fresh = [
            Point(name, point["step"], value, round(point["time"] * 1000))
            for point in points
            for name, value in point["metrics"].items()
            if (name, point["step"]) not in self._seen
        ]
        _log_points(self.tracker, self.id, fresh)
        self._seen |= {(point.name, point.step) for point in fresh}

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self.tracker.client.set_terminated(self.id, status)
