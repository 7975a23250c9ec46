"""Reaching a tracking store through MLflow's client: quiet, without telemetry, and with one-line errors."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hope.errors import UserError
from hope.files import exclusive_lock, read_json
from hope.paths import StudyPaths
from hope.tracking import MLFLOW_DEFAULTS, MLFLOW_ENVIRONMENT

# Else MLflow's own first experiment keeps the working directory's absolute path in the store.
_DEFAULTS = {**MLFLOW_DEFAULTS, "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/"}
# Read by MLflow when it is imported.
os.environ.update({**_DEFAULTS, **os.environ, **MLFLOW_ENVIRONMENT})

from mlflow.entities import ViewType  # noqa: E402
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
        study: folder of the study.
        uri: the server's address, or None for the store in the study's folder.
    """

    client: MlflowClient
    experiment: str
    study: Path
    uri: str | None

    def artifact_folder(self, artifact_uri: str) -> Path | None:
        """Return where a run's artifacts lie in the study's folder; None where a server keeps them."""
        scheme = "mlflow-artifacts:/"
        if self.uri is not None or not artifact_uri.startswith(scheme):
            return None
        return StudyPaths(self.study).tracking / "artifacts" / artifact_uri.removeprefix(scheme).lstrip("/")


def study_name(study: Path) -> str:
    """Return the study's name: what its config says, for the folder may have been renamed."""
    path = StudyPaths(study).config
    if path.is_file():
        content = read_json(path)
        if isinstance(content, dict) and isinstance(content.get("study"), str):
            return content["study"]
    return study.resolve().name


def connect(study: Path, uri: str | None) -> Tracker:
    """Open the tracking store of a study, making it and the study's experiment where they are missing.

    The embedded store is made under an exclusive lock: processes that migrate a new SQLite file at once
    would all fail.

    Args:
        study: folder of the study.
        uri: an MLflow server, or None for ``mlflow/mlflow.db`` in the study's folder.

    Raises:
        UserError: the store cannot be opened; one line that says how to go on.
    """
    name = study_name(study)
    with one_line_errors(study, uri):
        if uri is not None:
            if not uri.startswith(("http://", "https://")):
                raise UserError(f"tracking.uri: expected the address of an MLflow server, http://..., got '{uri}'")
            client = MlflowClient(tracking_uri=uri)
            return Tracker(client, _experiment(client, name, None), study, uri)
        folder = StudyPaths(study).tracking.absolute()
        with exclusive_lock(folder / ".lock", wait=True, on_wait=lambda line: None, poll_seconds=0.1):
            client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}?timeout={BUSY_SECONDS}")
            # A root relative to the server's --artifacts-destination, so that a study can be moved.
            return Tracker(client, _experiment(client, name, f"mlflow-artifacts:/{name}"), study, None)


def _experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        # The UI would else show its pages on language model agents, which a study has none of.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        identifier = client.create_experiment(name, artifact_location=artifacts, tags=tags)
        if artifacts:
            _hide_default_experiment(client)
        return identifier
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment.experiment_id


def _hide_default_experiment(client: MlflowClient) -> None:
    """Move MLflow's own empty experiment out of sight: the study is the store's only one."""
    with contextlib.suppress(MlflowException):
        if not client.search_runs(["0"], run_view_type=ViewType.ALL, max_results=1):
            client.delete_experiment("0")


@contextlib.contextmanager
def one_line_errors(study: Path, uri: str | None) -> Iterator[None]:
    """Turn a failure of the tracking store into one line that says how to go on.

    Raises:
        UserError: instead of what MLflow, its database or the network raised.
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
