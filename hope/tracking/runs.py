"""Runs of the tracking store, brought in line with what the files say."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import Metric, Param, Run, RunTag

from hope.files import read_json, sha256_of_json, write_json
from hope.paths import RunPaths
from hope.tracking import artifacts
from hope.tracking.client import Tracker
from hope.tracking.run_content import RunContent, live_content
from hope.tracking.study_run import ARTIFACTS_ADDRESS
from hope.tracking.summaries import Point

KEY, DIGEST = "hope.run", "hope.digest"
# What a store takes in one request.
MOST_METRICS, MOST_TAGS = 1_000, 100
MOST_TEXT = 6_000
# Tags that a run may have had and should no longer have; a user's own tags stay.
OUR_TAGS = (
    "arm",
    "code",
    "corpus_digest",
    "encoding",
    "environment",
    "git_dirty",
    "mlflow.parentRunId",
    "mlflow.source.git.commit",
    "seed",
    "settings_sha256",
    "stage",
)
# History files may keep fewer digits than the live points had.
VALUE_TOLERANCE = 1e-6

Item = TypeVar("Item")


def find_runs(tracker: Tracker) -> dict[str, list[Run]]:
    """Return the study's runs by their key, newest first."""
    runs: dict[str, list[Run]] = {}
    token = None
    while True:
        page = tracker.client.search_runs([tracker.experiment], max_results=1_000, page_token=token)
        for run in page:
            if KEY in run.data.tags:
                runs.setdefault(run.data.tags[KEY], []).append(run)
        token = page.token
        if not token:
            return runs


def update_run(
    tracker: Tracker, content: RunContent, runs: Sequence[Run], parent: str | None, digests: artifacts.Digests
) -> tuple[str, bool]:
    """Make one run say what ``content`` says, exactly once; return its id and whether anything changed.

    What the store cannot change (a param, a point of a metric that the files do not have) makes the old
    run go and a new one come.

    Args:
        tracker: the open store.
        content: the run as it should be.
        runs: the runs that have its key; all but the first are removed.
        parent: id of the run that it is nested in.
        digests: of the artifacts.
    """
    listing = digests.listing(content.artifacts)
    wanted = _digest(content, parent, listing)
    run = runs[0] if runs else None
    for double in runs[1:]:
        delete(tracker, double)
    changed = len(runs) > 1
    if run is not None and run.data.tags.get(DIGEST) == wanted and run.info.status == "FINISHED":
        return run.info.run_id, _mirror(tracker, run, content, listing) or changed
    if run is not None and _in_the_way(tracker, run, content):
        delete(tracker, run)
        run = None
    if run is None:
        run = _create(tracker, content, content.started)
    identifier = run.info.run_id
    # Away until all is done, so that a run left half done by a killed sync is done again.
    if DIGEST in run.data.tags:
        tracker.client.delete_tag(identifier, DIGEST)
    _log(tracker, run, content)
    _tag(tracker, run, content, parent)
    if tracker.artifact_folder(run.info.artifact_uri) is None:
        _upload(tracker, run, content, listing)
    else:
        _mirror(tracker, run, content, listing)
    tracker.client.set_terminated(identifier, "FINISHED", end_time=content.ended)
    tracker.client.set_tag(identifier, DIGEST, wanted)
    return identifier, True


def delete(tracker: Tracker, run: Run) -> None:
    """Delete a run (MLflow keeps it among the deleted ones), and its links to the study's files."""
    tracker.client.delete_run(run.info.run_id)
    folder = tracker.artifact_folder(run.info.artifact_uri)
    if folder is not None:
        artifacts.remove(folder)


class LiveRun:
    """The run of a model that is training."""

    def __init__(self, tracker: Tracker, paths: RunPaths, settings: dict[str, Any]) -> None:
        """Find the model's run, or make one.

        The run of a training that was cut short goes on; one that has ended, or had other settings,
        makes way for a new one.
        """
        content = live_content(paths, settings)
        self.client = tracker.client
        runs = find_runs(tracker).get(content.key, [])
        self._seen: set[tuple[str, int]] = set()
        if runs and _goes_on(runs[0], content):
            self.id = runs[0].info.run_id
            for name in runs[0].data.metrics:
                self._seen |= {(name, point.step) for point in self.client.get_metric_history(self.id, name)}
            self.client.update_run(self.id, status="RUNNING")
            return
        for run in runs:
            delete(tracker, run)
        run = _create(tracker, content, round(time.time() * 1000))
        self.id = run.info.run_id
        _log(tracker, run, content)

    def send(self, points: Sequence[dict[str, Any]]) -> None:
        """Send points; steps that the store has already, from before a training was resumed, are left out."""
        fresh = [
            Point(name, point["step"], value, round(point["time"] * 1000))
            for point in points
            for name, value in point["metrics"].items()
            if (name, point["step"]) not in self._seen
        ]
        _log_points(self.client, self.id, fresh)
        self._seen |= {(point.name, point.step) for point in fresh}

    def end(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.id, status)


def _goes_on(run: Run, content: RunContent) -> bool:
    cut_short = run.info.status != "FINISHED" and not run.data.tags.get(DIGEST)
    return cut_short and run.data.params == _params(content)


def _digest(content: RunContent, parent: str | None, listing: dict[str, Any]) -> str:
    described = (
        content.name,
        parent,
        content.params,
        sorted((point.name, point.step, repr(point.value)) for point in content.points),
        content.tags,
        content.note,
        listing,
    )
    return sha256_of_json(described)


def _create(tracker: Tracker, content: RunContent, started: int) -> Run:
    tags = {KEY: content.key, **content.tags}
    return tracker.client.create_run(tracker.experiment, start_time=started, tags=tags, run_name=content.name)


def _params(content: RunContent) -> dict[str, str]:
    return {name: value[:MOST_TEXT] for name, value in content.params.items()}


def _history(tracker: Tracker, run: Run) -> list[Point]:
    """Return all points that the store has of a run."""
    client, identifier = tracker.client, run.info.run_id
    return [
        Point(metric.key, metric.step, metric.value, metric.timestamp)
        for name in run.data.metrics
        for metric in client.get_metric_history(identifier, name)
    ]


def _in_the_way(tracker: Tracker, run: Run, content: RunContent) -> bool:
    """Return whether a run has what it should not, and what the store does not let go of."""
    params = _params(content)
    if any(params.get(name) != value for name, value in run.data.params.items()):
        return True
    wanted = {(point.name, point.step): point.value for point in content.points}
    seen: set[tuple[str, int]] = set()
    for point in _history(tracker, run):
        key = (point.name, point.step)
        value = wanted.get(key)
        if value is None or key in seen or not math.isclose(value, point.value, rel_tol=VALUE_TOLERANCE, abs_tol=1e-12):
            return True
        seen.add(key)
    if tracker.artifact_folder(run.info.artifact_uri) is None:
        return not _listed(tracker, run.info.run_id) <= {*content.artifacts, artifacts.DIGESTS}
    return False


def _listed(tracker: Tracker, identifier: str, folder: str | None = None) -> set[str]:
    """Return the names of the artifacts that a server has of a run."""
    names: set[str] = set()
    for entry in tracker.client.list_artifacts(identifier, folder):
        names |= _listed(tracker, identifier, entry.path) if entry.is_dir else {entry.path}
    return names


def _log(tracker: Tracker, run: Run, content: RunContent) -> None:
    """Add the params and points that the run lacks."""
    client, identifier = tracker.client, run.info.run_id
    missing = [Param(name, value) for name, value in _params(content).items() if name not in run.data.params]
    for some in _chunks(missing, MOST_TAGS):
        client.log_batch(identifier, params=some)
    have = {(point.name, point.step) for point in _history(tracker, run)}
    _log_points(client, identifier, [point for point in content.points if (point.name, point.step) not in have])


def _log_points(client: Any, identifier: str, points: Sequence[Point]) -> None:
    for some in _chunks(points, MOST_METRICS):
        client.log_batch(identifier, [Metric(point.name, point.value, point.time, point.step) for point in some])


def _tag(tracker: Tracker, run: Run, content: RunContent, parent: str | None) -> None:
    """Set the run's tags, name and description; remove tags of ours that it should no longer have."""
    client, identifier = tracker.client, run.info.run_id
    address = f"#/experiments/{tracker.experiment}/runs/{identifier}/artifacts"
    tags = {
        KEY: content.key,
        **content.tags,
        "mlflow.runName": content.name,
        "mlflow.note.content": _cut_note(content.note.replace(ARTIFACTS_ADDRESS, address)),
        **({"mlflow.parentRunId": parent} if parent else {}),
    }
    for name in run.data.tags:
        if name not in tags and (name in OUR_TAGS or name.startswith("claim_")):
            client.delete_tag(identifier, name)
    changed = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
    for some in _chunks(changed, MOST_TAGS):
        client.log_batch(identifier, tags=some)


def _cut_note(note: str) -> str:
    """Return a description that the store takes whole: by whole lines, up to 6,000 characters."""
    if len(note) <= MOST_TEXT:
        return note
    return note[: note.rfind("\n", 0, MOST_TEXT)] + "\n\n(cut here: the report has the rest)"


def _mirror(tracker: Tracker, run: Run, content: RunContent, listing: dict[str, Any]) -> bool:
    """Bring the artifacts in the study's folder in line; a server's are taken to be as they were."""
    folder = tracker.artifact_folder(run.info.artifact_uri)
    return folder is not None and artifacts.mirror_artifacts(folder, content.artifacts, listing)


def _upload(tracker: Tracker, run: Run, content: RunContent, listing: dict[str, Any]) -> None:
    """Send to a server the artifacts that it has not got yet, by the digests that it has."""
    client, identifier = tracker.client, run.info.run_id
    sent = _sent(tracker, identifier)
    for name, path in content.artifacts.items():
        if sent.get(name) == listing[name]:
            continue
        folder = Path(name).parent.as_posix()
        client.log_artifact(identifier, str(path), None if folder == "." else folder)
    with tempfile.TemporaryDirectory() as temporary:
        write_json(Path(temporary) / artifacts.DIGESTS, listing)
        client.log_artifact(identifier, str(Path(temporary) / artifacts.DIGESTS))


def _sent(tracker: Tracker, identifier: str) -> dict[str, Any]:
    """Return the digests that an earlier upload left at a server, the last thing that it sent."""
    if artifacts.DIGESTS not in _listed(tracker, identifier):
        return {}
    with tempfile.TemporaryDirectory() as folder:
        return read_json(Path(tracker.client.download_artifacts(identifier, artifacts.DIGESTS, folder)))


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
