"""Open a tracking store with MLflow's client: quiet, without telemetry, errors in one line."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hope.config.study import mistake_in_address
from hope.errors import UserError
from hope.files import exclusive_lock, read_json
from hope.paths import StudyPaths
from hope.tracking import MLFLOW_DEFAULTS, MLFLOW_ENVIRONMENT
from hope.tracking.address import sqlite_address

# MLflow reads these at import. Its own first experiment would else keep the working directory's absolute path.
os.environ.update(
    {**MLFLOW_DEFAULTS, "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/", **os.environ, **MLFLOW_ENVIRONMENT}
)

from mlflow.entities import Run  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from requests.exceptions import RequestException  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

# Several trainings write to one SQLite file at once; each waits for the others' short transactions.
BUSY_SECONDS = 60


@dataclass(frozen=True)
class Tracker:
    """An open tracking store.

    Attributes:
        client: MLflow's client.
        experiment: id of the study's experiment.
        folder: ``mlflow/`` in the study's folder.
        uri: address of an MLflow server, or None for the store in ``folder``.
    """

    client: MlflowClient
    experiment: str
    folder: Path
    uri: str | None

    def artifact_folder(self, run: Run) -> Path | None:
        """Return the folder of a run's artifacts, or None if a server keeps them."""
        if self.uri is not None:
            return None
        return self.folder / "artifacts" / run.info.artifact_uri.removeprefix("mlflow-artifacts:/")


def connect(study: Path, uri: str | None) -> Tracker:
    """Open the tracking store of a study; make the store and the study's experiment if they are missing.

    Args:
        study: folder of the study.
        uri: an MLflow server, or None for ``mlflow/mlflow.db`` in the study's folder.

    Raises:
        UserError: the store cannot be opened.
    """
    paths = StudyPaths(study)
    # The folder may have been renamed.
    name = (read_json(paths.config) if paths.config.is_file() else {}).get("study", study.resolve().name)
    folder = paths.tracking.absolute()
    if uri is not None and (mistake := mistake_in_address(uri)):
        raise UserError(f"tracking.uri: {mistake}")
    # Processes that migrate a new SQLite file at once would all fail.
    lock = exclusive_lock(folder / ".lock", wait=True, on_wait=lambda line: None, poll_seconds=0.1)
    with one_line_errors(study, uri), lock if uri is None else contextlib.nullcontext():
        client = MlflowClient(tracking_uri=uri or f"{sqlite_address(folder)}?timeout={BUSY_SECONDS}")
        return Tracker(client, _experiment(client, name, embedded=uri is None), folder, uri)


def _experiment(client: MlflowClient, name: str, embedded: bool) -> str:
    """Return the id of the study's experiment, found or made."""
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id
    # Relative to the server's --artifacts-destination, so that a study can be moved.
    artifacts = f"mlflow-artifacts:/{name}" if embedded else None
    # The UI would else show its pages on language model agents.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    identifier = client.create_experiment(name, artifact_location=artifacts, tags=tags)
    if embedded:
        with contextlib.suppress(MlflowException):  # deleted already
            client.delete_experiment("0")  # MLflow's own, which is empty
    return identifier


@contextlib.contextmanager
def one_line_errors(study: Path, uri: str | None) -> Iterator[None]:
    """Turn a failure of the tracking store into one line that names the remedy.

    Raises:
        UserError: in place of what MLflow, its database or the network raised.
    """
    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:
        reason = " ".join(str(error).split())
        if "Max retries exceeded" in reason or "Connection aborted" in reason:
            reason = "no answer"
        reason = reason if len(reason) <= 200 else reason[:200] + "..."
        again = f"run 'python -m hope sync {study}' again"
        if uri is not None:
            raise UserError(f"MLflow at {uri}: {reason}; see that it runs and answers, then {again}") from error
        folder = StudyPaths(study).tracking
        raise UserError(
            f"{folder}: {reason}; it is a view of the study's files: if this lasts, delete {folder} and {again}"
        ) from error
