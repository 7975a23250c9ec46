"""The tracking store of a study: a view of its files, made from them at any time."""

import time
from pathlib import Path

from hope.adopt import check_layout
from hope.errors import UserError, nearest
from hope.files import exclusive_lock
from hope.paths import RESULTS, StudyPaths
from hope.tracking.live import LiveMetrics

__all__ = ["LiveMetrics", "find_study", "initialise", "sync"]


def find_study(study: Path | str) -> Path:
    """Return the folder of a study, given the folder itself or the name of one under ``results/``.

    Raises:
        UserError: there is no such study; the line names the nearest one.
    """
    given = Path(study)
    for folder in (given, RESULTS / given):
        if any((folder / name).exists() for name in ("study.json", "models", "mlflow")):
            return folder
    names = sorted(path.name for path in RESULTS.glob("*") if path.is_dir())
    known = f"; known are {', '.join(names)}" if names else f"; {RESULTS}/ has none yet, run 'make reproduce' first"
    raise UserError(f"{study}: there is no such study{nearest(given.name, names)}{known}")


def initialise(study: Path, uri: str | None) -> None:
    """Make the tracking store of a study and the study's experiment, if they are missing.

    Args:
        study: folder of the study; made if missing.
        uri: an MLflow server, or None for ``mlflow/mlflow.db`` in the study's folder, in SQLite.

    Raises:
        UserError: the store cannot be made or reached.
    """
    from hope.tracking.client import connect

    connect(study, uri)


def sync(study: Path | str, uri: str | None = None) -> None:
    """Bring a tracking store in line with the files of a study, which are the truth.

    The store has one run per model, with its params, its loss curve and its files; one nested run per stage of a
    model; and one for the study, with the report. A run whose content has changed is written anew, any other is left
    alone.

    Args:
        study: folder of the study, or its name under ``results/``.
        uri: an MLflow server, or None for the store in the study's folder.

    Raises:
        UserError: there is no such study, it was made before studies had arms, a file is damaged, or the store fails;
            the files are untouched.
    """
    from hope.tracking.client import connect, one_line_errors
    from hope.tracking.runs import DIGEST, delete, find_runs, update_run
    from hope.tracking.study_run import read_study

    started, folder = time.monotonic(), find_study(study)
    check_layout(folder)
    with exclusive_lock(StudyPaths(folder).tracking / ".sync.lock", wait=True), one_line_errors(folder, uri):
        contents = read_study(folder)
        tracker = connect(folder, uri)
        stored = find_runs(tracker)
        runs: dict[str | None, str] = {}
        changes = 0
        for content in contents:
            before = stored.pop(content.key, [])
            runs[content.key], changed = update_run(tracker, content, before, runs.get(content.parent))
            changes += changed
        # The files of these are gone, or the config no longer lists their models. A run that still trains has no files
        # yet, and no digest.
        for run in [run for others in stored.values() for run in others if DIGEST in run.data.tags]:
            delete(tracker, run)
            changes += 1
    where = uri or StudyPaths(folder).tracking
    print(f"{where}: {len(runs)} runs in line with {folder}, {changes} changed, {time.monotonic() - started:.1f} s")
