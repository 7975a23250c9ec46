import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from store_look import Store

from hope import config
from hope.paths import RunPaths, StudyPaths
from hope.tracking import live
from hope.tracking.live import LiveMetrics

# Stands in for the child: waits for the end, then keeps what it was given in the folder named by KEPT.
KEEP = [
    "sh",
    "-c",
    'until grep -q end /dev/stdin; do sleep 0.02; done; cat /dev/stdin > "$KEPT/lines"; echo "$0" > "$KEPT/header"',
]


def point(step: int, loss: float = 1.0) -> dict[str, float]:
    return {"step": step, "tokens": 32 * step, "time": 1_700_000_000.5 + step, "loss": loss, "gradient_norm": 0.5}


def of_model(study: Path, encoding: str = "hope", seed: int = 0) -> RunPaths:
    return StudyPaths(study).run(config.MAIN, encoding, seed)


@pytest.fixture
def start(arm: config.Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., LiveMetrics]:
    """Return what starts live metrics with another command in place of the child."""

    def start(*command: str, seconds: float = 0.0) -> LiveMetrics:
        monkeypatch.setattr(live, "COMMAND", list(command))
        return LiveMetrics(of_model(tmp_path / "study"), arm.train_stage("hope", 0), seconds=seconds)

    return start


def test_points_and_the_end_reach_the_child(
    start: Callable[..., LiveMetrics], arm: config.Arm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEPT", str(tmp_path))

    def sent(raised: BaseException | None = None) -> list[dict]:
        metrics = start(*KEEP)
        try:
            for step in range(1_000):
                metrics(point(step))
            metrics({**point(1_000), "loss": float("nan")})
            if raised:
                raise raised
        finally:
            metrics.close()
        return [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]

    *points, end = sent()
    assert end == {"end": "FINISHED"}
    assert [entry["step"] for entry in points] == list(range(1_001))
    assert points[7] == {"step": 7, "time": 1_700_000_007.5, "metrics": {"loss": 1.0, "gradient_norm": 0.5}}
    assert points[-1]["metrics"] == {"gradient_norm": 0.5}
    header = json.loads((tmp_path / "header").read_text())
    assert header.pop("settings") == arm.train_stage("hope", 0).model_dump(mode="json", by_alias=True)
    model = str(tmp_path / "study/models/main/hope/seed0")
    assert header == {"trainer": os.getpid(), "model": model, "uri": None, "seconds": 0.0}
    for raised, status in ((ValueError("x"), "FAILED"), (SystemExit(143), "KILLED"), (KeyboardInterrupt(), "KILLED")):
        with pytest.raises(type(raised)):
            sent(raised)
        assert json.loads((tmp_path / "lines").read_text().splitlines()[-1]) == {"end": status}


def test_a_training_shorter_than_a_batch_starts_no_child(start: Callable[..., LiveMetrics], tmp_path: Path) -> None:
    metrics = start("touch", str(tmp_path / "started"), seconds=60.0)
    metrics(point(1))
    metrics.close()
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("command", "bad"), [("false", point(0)), ("no such program", point(0)), ("sleep", {"loss": "no number"}), ("", {})]
)
def test_what_goes_wrong_costs_one_line(
    start: Callable[..., LiveMetrics], capsys: pytest.CaptureFixture[str], command: str, bad: dict
) -> None:
    metrics = start(command)
    for given in (bad, point(1), point(2)):
        metrics(given)
    metrics.close()
    metrics.close()
    metrics(point(3))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("live metrics are incomplete: ")
    assert "the training goes on" in line


def test_a_child_that_does_not_read_does_not_slow_the_training(
    start: Callable[..., LiveMetrics], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "CLOSE_SECONDS", 0.2)
    metrics = start("sh", "-c", "sleep 60")
    started = time.process_time()
    for step in range(5_000):  # more than a pipe holds
        metrics(point(step))
    assert time.process_time() - started < 2.0  # measured: 0.05 s
    child = metrics._child
    assert child is not None
    started = time.monotonic()
    metrics.close()
    assert time.monotonic() - started < 5.0
    assert child.poll() == -signal.SIGKILL
    (line,) = capsys.readouterr().err.splitlines()
    assert "did not answer in time" in line


def test_an_unreachable_server_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal, "alarm", lambda seconds: None)
    (tmp_path / "points").write_text('{"step": 0, "time": 0.0, "metrics": {"loss": 1.0}}\n{"end": "FINISHED"}\n')
    with open(tmp_path / "points") as file:
        monkeypatch.setattr(sys, "stdin", file)
        model = str(of_model(tmp_path).model)
        uri = "http://127.0.0.1:9"
        live.send({"trainer": os.getppid(), "model": model, "uri": uri, "settings": {}, "seconds": 0.0})
    (line,) = capsys.readouterr().err.splitlines()
    assert "http://127.0.0.1:9: no answer" in line


def test_trainings_write_to_one_new_store_at_once(
    arm: config.Arm, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CLOSE_SECONDS", 90)
    study = tmp_path / "small"

    def train(seed: int) -> LiveMetrics:
        training = LiveMetrics(of_model(study, "rope", seed), arm.train_stage("rope", seed), seconds=0.0)
        for step in range(20):
            training(point(step, loss=seed + step / 100))
        return training

    if not (trainer := os.fork()):
        train(1)
        os.kill(os.getpid(), signal.SIGKILL)
    training = train(0)
    os.waitpid(trainer, 0)
    training.close()
    store, deadline = Store(study), time.monotonic() + 90
    while "KILLED" not in {store.status(run) for run in store.runs().values()} and time.monotonic() < deadline:
        time.sleep(0.2)
    runs = store.runs()
    assert set(runs) == {f"main/rope/seed{seed}" for seed in range(2)}
    for seed in range(2):
        expected = [(step, seed + step / 100, 1_700_000_000_500 + 1000 * step) for step in range(20)]
        assert store.points(runs[f"main/rope/seed{seed}"], "loss") == expected
        assert store.of("params", runs[f"main/rope/seed{seed}"])["encoding.name"] == "rope"
        assert store.status(runs[f"main/rope/seed{seed}"]) == ("KILLED" if seed else "FINISHED")
    assert capfd.readouterr().err == ""


def test_a_resumed_training_goes_on_with_its_run(empty_store: Path, arm: config.Arm) -> None:
    from hope.tracking.client import connect
    from hope.tracking.runs import LiveRun

    def run(steps: range, status: str, settings: dict) -> str:
        found = LiveRun(connect(empty_store, None), of_model(empty_store), settings)
        for step in steps:
            # A step that is trained again has another time, which MLflow takes for another point.
            found.send([{"step": step, "time": float(steps.start + step), "metrics": {"loss": float(step)}}])
        found.end(status)
        return found.id

    settings = arm.train_stage("hope", 0).model_dump(mode="json", by_alias=True)
    store = Store(empty_store)
    first = run(range(0, 6), "KILLED", settings)
    assert run(range(4, 10), "KILLED", settings) == first
    assert [step for step, _, _ in store.points(first, "loss")] == list(range(10))
    other = run(range(2), "FINISHED", {**settings, "seed": 1})  # other settings: another training
    assert other != first
    again = run(range(2), "FINISHED", {**settings, "seed": 1})  # trained to the end before: trained anew
    assert again != other
    assert store.runs() == {"main/hope/seed0": again}
