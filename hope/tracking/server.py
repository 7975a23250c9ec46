"""The MLflow UI on one study, on this machine only."""

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from hope.errors import UserError
from hope.paths import StudyPaths
from hope.tracking import MLFLOW_DEFAULTS, MLFLOW_ENVIRONMENT
from hope.tracking.store import find_study

HOST = "127.0.0.1"
PROGRAM = [sys.executable, "-m", "mlflow", "server"]
START_SECONDS = 120.0
STOP_SECONDS = 10.0
# Without these the server starts nine processes for work that a study has none of.
SERVER_ENVIRONMENT = {
    **MLFLOW_ENVIRONMENT,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
}


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: its address.
        process: the first of its processes, which leads a process group of their own.
    """

    url: str
    process: subprocess.Popen[bytes]


def serve(study: Path | str, port: int) -> None:
    """Open the MLflow UI on a study until the user stops it with Ctrl-C.

    Args:
        study: folder of the study, wherever it was copied to, or its name under ``results/``.
        port: port on the loopback interface; 0 takes a free one.

    Raises:
        UserError: the study has no tracking store, the port is in use, or the server ends by itself.
    """
    folder = find_study(study)

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        print(f"{folder}: starting the MLflow UI", flush=True)
        with running(folder, port) as server:
            for name, address in addresses(server.url).items():
                print(f"{name + ':':14}{address}", flush=True)
            print("Ctrl-C stops it.", flush=True)
            status = server.process.wait()
        raise UserError(f"the MLflow server ended by itself with status {status}; start it again")
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def running(study: Path, port: int) -> Iterator[Server]:
    """Run the MLflow server on a study for the length of the block; no process of it stays.

    Args:
        study: folder of the study.
        port: port on the loopback interface; 0 takes a free one.

    Raises:
        UserError: the study has no tracking store, the port is in use, or the server does not start.
    """
    folder = StudyPaths(study).tracking.absolute()
    if not (folder / "mlflow.db").is_file():
        raise UserError(f"{folder / 'mlflow.db'}: there is no such store; run 'python -m hope sync {study}' first")
    port = _free_port(port)
    url = f"http://{HOST}:{port}"
    command = [*PROGRAM, "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with tempfile.TemporaryDirectory() as work:
        log = Path(work) / "server.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command,
                cwd=work,
                env={**MLFLOW_DEFAULTS, **os.environ, **SERVER_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_up(process, url, log)
            yield Server(url, process)
        finally:
            _stop(process)


def _free_port(port: int) -> int:
    """Return ``port``, or any free one for 0.

    Raises:
        UserError: it is in use, or not for this user to take.
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
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            if answer.status == 200:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    reason = lines[-1][:300] if lines else "it said nothing"
    raise UserError(f"the MLflow server did not start: {reason}; delete the study's mlflow/ folder and sync it again")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server with all its processes: first kindly."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            process.poll()
            if not _group_lives(process.pid):
                process.wait()
                return
            time.sleep(0.05)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def addresses(url: str) -> dict[str, str]:
    """Return the addresses that a user wants: the study's runs and its final report, as far as there are.

    Args:
        url: address of a running server.
    """
    # Without it the UI shows its pages on language model agents.
    view = "?workflowType=machine_learning"
    links = {"MLflow UI": url}
    try:
        experiment = _post(f"{url}/api/2.0/mlflow/experiments/search", {"max_results": 1})["experiments"][0]
        identifier = experiment["experiment_id"]
        links["MLflow UI"] = f"{url}/#/experiments/{identifier}/runs{view}"
        asked = {"experiment_ids": [identifier], "filter": "tags.`hope.run` = 'study'", "max_results": 1}
        run = _post(f"{url}/api/2.0/mlflow/runs/search", asked)["runs"][0]["info"]["run_id"]
        listed = f"{url}/api/2.0/mlflow/artifacts/list?run_id={run}&path=report"
        with urllib.request.urlopen(listed, timeout=20) as answer:
            pages = [file["path"] for file in json.load(answer).get("files", [])]
        if "report/index.html" in pages:
            links["final report"] = f"{url}/#/experiments/{identifier}/runs/{run}/artifacts/report/index.html{view}"
    except (OSError, KeyError, IndexError, ValueError):
        pass  # the server's own address serves as well
    return links


def _post(url: str, content: dict) -> dict:
    request = urllib.request.Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)
