import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from store_look import Store

from hope.errors import UserError
from hope.tracking import server
from hope.tracking.store import sync

REPORT = "report/index.html"


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read()


def processes_of(group: int) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(path.parent.name)
    return found


def is_open(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.slow
def test_a_study_copied_elsewhere_opens_with_its_artifacts_and_serves_other_studies(
    synced: Path, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One server for several questions, for it takes seconds to start."""
    copied = tmp_path / "another place" / "renamed"
    shutil.copytree(synced, copied)
    shutil.rmtree(synced)
    code = f"from hope.tracking.server import serve; serve({str(copied)!r}, 0)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines[1].startswith("MLflow UI:")
        url, _, page = lines[1].split()[2].partition("/#")
        assert page.startswith("/experiments/1/runs")
        run = Store(copied).runs()["study"]
        assert f"{url}/#/experiments/1/runs/{run}/artifacts/report/index.html" in lines[2]
        (group,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert 1 <= len(processes_of(int(group))) <= 3
        _artifacts_are_served(url, Store(copied), study)
        _another_study_is_taken(url, Store(copied), study, capsys)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "stopped" in process.stdout.read()
        assert processes_of(int(group)) == []
        assert not is_open(url)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


def _artifacts_are_served(url: str, store: Store, study: Path) -> None:
    runs = store.runs()
    for key, name, folder in (
        ("main/rope/seed0", "model.safetensors", "models/main/rope/seed0"),
        ("study", REPORT, "."),
    ):
        listing = json.loads(get(f"{url}/get-artifact?run_uuid={runs[key]}&path=digests.json"))
        by_page = get(f"{url}/get-artifact?run_uuid={runs[key]}&path={name}")
        by_proxy = get(f"{url}/api/2.0/mlflow-artifacts/artifacts/small/{runs[key]}/artifacts/{name}")
        original = (study / folder / name).read_bytes()
        assert by_page == by_proxy == original
        assert listing[name]["sha256"] == hashlib.sha256(original).hexdigest()


def _another_study_is_taken(url: str, store: Store, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same server as a foreign one: another study's runs and files go there over the network."""
    config = json.loads((study / "study.json").read_text())
    (study / "study.json").write_text(json.dumps({**config, "study": "other"}))
    for report, changed in (("a report", 7), ("a newer report", 1)):
        (study / REPORT).write_text(report)
        sync(study, url)
        assert f"7 runs in line with {study}, {changed} changed" in capsys.readouterr().out
        (experiment,) = store.rows("SELECT experiment_id FROM experiments WHERE name = 'other'")
        active = "SELECT name, run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active'"
        rows = store.rows(active, *experiment)
        assert len(rows) == 7
        runs = dict(rows)
        assert get(f"{url}/get-artifact?run_uuid={runs['study other: report']}&path={REPORT}") == report.encode()
    sent = get(f"{url}/get-artifact?run_uuid={runs['main/hope/seed0']}&path=model.safetensors")
    assert sent == (study / "models/main/hope/seed0/model.safetensors").read_bytes()
    assert [path.name for path in (study / "mlflow").iterdir()] == [".sync.lock"]


def test_what_does_not_start_is_one_line(synced: Path, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((server.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is in use; choose another with --port"):
            server.serve(synced, port)
    with pytest.raises(UserError, match="port 70000 cannot be used"):
        server.serve(synced, 70_000)
    with pytest.raises(UserError, match="mlflow.db: there is no such store; run 'python -m hope sync"):
        server.serve(study, 0)
    monkeypatch.setattr(server, "PROGRAM", [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(server, "START_SECONDS", 0.5)
    with pytest.raises(UserError, match="did not answer within 0 seconds; run the command again"):
        server.serve(synced, 0)
    failing = "print('first'); print('the database is too old'); raise SystemExit(1)"
    monkeypatch.setattr(server, "PROGRAM", [sys.executable, "-c", failing])
    with pytest.raises(UserError, match="did not start: the database is too old; delete") as caught:
        server.serve(synced, 0)
    assert len(str(caught.value).splitlines()) == 1


def test_stopping_does_not_spare_a_process_that_ignores_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STOP_SECONDS", 0.5)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    server._stop(process)
    assert process.returncode == -signal.SIGKILL
    process.stdout.close()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
