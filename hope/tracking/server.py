"""The MLflow UI on one study, on this machine only."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from hope.errors import UserError
from hope.paths import StudyPaths
from hope.tracking import MLFLOW_DEFAULTS, MLFLOW_ENVIRONMENT
from hope.tracking.address import plain_path, sqlite_address
from hope.tracking.store import find_study

HOST = "127.0.0.1"
PROGRAM = [sys.executable, "-m", "mlflow", "server"]
START_SECONDS = 120.0
STOP_SECONDS = 10.0
# Without the job execution off, the server starts nine processes for work that a study does not have.
SERVER_ENVIRONMENT = {
    **MLFLOW_ENVIRONMENT,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
}


def serve(study: Path | str, port: int) -> None:
    """Open the MLflow UI on a study until the user stops it with Ctrl-C; no process of it stays.

    Args:
        study: folder of the study, wherever it was copied to, or its name under ``results/``.
        port: port on the loopback interface; 0 takes a free one.

    Raises:
        UserError: the study has no tracking store, the port is in use, the server does not start or ends by itself.
    """
    folder = find_study(study)
    store = StudyPaths(folder).tracking.absolute()
    if not (store / "mlflow.db").is_file():
        raise UserError(f"{store / 'mlflow.db'}: there is no such store; run 'python -m hope sync {folder}' first")
    port = _free_port(port)
    url = f"http://{HOST}:{port}"
    command = [*PROGRAM, "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", sqlite_address(store)]
    command += ["--artifacts-destination", str(plain_path(store) / "artifacts")]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    print(f"{folder}: starting the MLflow UI", flush=True)
    with tempfile.TemporaryDirectory() as work, open(Path(work) / "server.log", "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=work,
            env={**MLFLOW_DEFAULTS, **os.environ, **SERVER_ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_up(process, url, Path(log.name))
            for name, address in _addresses(folder, url).items():
                print(f"{name + ':':14}{address}", flush=True)
            print("Ctrl-C stops it.", flush=True)
            status = process.wait()
            raise UserError(f"the MLflow server ended by itself with status {status}; start it again")
        except KeyboardInterrupt:
            print("\nstopped", flush=True)
        finally:
            _stop(process)


def _free_port(port: int) -> int:
    """Return ``port``, or any free one for 0.

    Raises:
        UserError: it is in use, or this user may not take it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            used = getattr(error, "errno", None) == errno.EADDRINUSE
            reason = "is in use" if used else f"cannot be used ({error})"
            raise UserError(f"port {port} {reason}; choose another with --port, or a free one with --port 0") from None
        return probe.getsockname()[1]


def _wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    # A proxy that the environment names may not reach this machine's loopback.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None:
        if time.monotonic() >= deadline:
            raise UserError(
                f"the MLflow server did not answer within {START_SECONDS:.0f} seconds; run the command again"
            )
        with contextlib.suppress(OSError), direct.open(f"{url}/health", timeout=5):
            return
        time.sleep(0.1)
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    reason = lines[-1][:300] if lines else "no reason given"
    raise UserError(f"the MLflow server did not start: {reason}; delete the study's mlflow/ folder and sync it again")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server with all its processes, by force those that do not end in time."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _addresses(study: Path, url: str) -> dict[str, str]:
    """Return the pages that a user wants: the study's runs and, if there is one, its final report."""
    from hope.tracking.client import connect
    from hope.tracking.runs import find_runs
    from hope.tracking.study_run import REPORT, STUDY

    tracker = connect(study, None)
    # Without the view the UI shows its pages on language model agents.
    page, view = f"{url}/#/experiments/{tracker.experiment}/runs", "?workflowType=machine_learning"
    addresses = {"MLflow UI": f"{page}{view}"}
    for run in find_runs(tracker).get(STUDY, []):
        folder = tracker.artifact_folder(run)
        if folder and (folder / REPORT).is_file():
            addresses["final report"] = f"{page}/{run.info.run_id}/artifacts/{REPORT}{view}"
    return addresses
