import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from store_look import Store

from hope import config
from hope.paths import RunPaths, StudyPaths
from hope.tracking import live
from hope.tracking.live import LiveMetrics

# Stands in for the sender: keeps what arrives, in the file named by an environment variable.
KEEP = [sys.executable, "-c", "import os, sys; open(os.environ['KEPT'], 'wb').write(sys.stdin.buffer.read())"]
SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def point(step: int, loss: float = 1.0) -> dict[str, float]:
    return {"step": step, "tokens": 32 * step, "time": 1_700_000_000.5 + step, "loss": loss, "gradient_norm": 0.5}


@pytest.fixture
def stage(arm: config.Arm) -> config.TrainStage:
    return arm.train_stage("hope", 0)


def of_model(study: Path, encoding: str = "hope", seed: int = 0) -> RunPaths:
    return StudyPaths(study).run(config.MAIN, encoding, seed)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(live, "COMMAND", KEEP)
    monkeypatch.setenv("KEPT", str(tmp_path / "kept"))
    return tmp_path / "kept"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_points_reach_the_child_whole_and_in_order(kept: Path, stage: config.TrainStage, tmp_path: Path) -> None:
    metrics = LiveMetrics(of_model(tmp_path / "study"), stage, seconds=0.0)
    for step in range(3_000):  # more than a pipe holds
        metrics(point(step))
    metrics({**point(3_000), "loss": float("nan")})
    metrics.close()
    header, *points, end = lines(kept)
    assert (header["arm"], header["encoding"], header["seed"], header["uri"]) == ("main", "hope", 0, None)
    assert Path(header["study"]) == tmp_path / "study"
    assert header["settings"] == stage.model_dump(mode="json", by_alias=True)
    assert [entry["step"] for entry in points] == list(range(3_001))
    assert points[7] == {"step": 7, "time": 1_700_000_007.5, "metrics": {"loss": 1.0, "gradient_norm": 0.5}}
    assert points[-1]["metrics"] == {"gradient_norm": 0.5}
    assert end == {"end": "FINISHED"}


@pytest.mark.parametrize(
    ("raised", "status"),
    [(None, "FINISHED"), (ValueError("x"), "FAILED"), (SystemExit(143), "KILLED"), (KeyboardInterrupt(), "KILLED")],
)
def test_the_end_says_how_the_training_ended(
    kept: Path, stage: config.TrainStage, tmp_path: Path, raised: BaseException | None, status: str
) -> None:
    def train() -> None:
        metrics = LiveMetrics(of_model(tmp_path), stage, seconds=0.0)
        try:
            metrics(point(1))
            if raised:
                raise raised
        finally:
            metrics.close()

    if raised:
        with pytest.raises(type(raised)):
            train()
    else:
        train()
    assert lines(kept)[-1] == {"end": status}


def test_a_training_shorter_than_a_batch_starts_no_child(kept: Path, stage: config.TrainStage, tmp_path: Path) -> None:
    metrics = LiveMetrics(of_model(tmp_path), stage, seconds=60.0)
    metrics(point(1))
    metrics.close()
    assert not kept.exists()


def test_a_dead_child_costs_one_line(
    stage: config.TrainStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "COMMAND", [sys.executable, "-c", "pass"])
    metrics = LiveMetrics(of_model(tmp_path), stage, seconds=0.0)
    metrics(point(0))
    assert metrics._child is not None
    metrics._child.wait(20)
    for step in range(1, 100):
        metrics(point(step))
    metrics.close()
    metrics.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert "the training goes on" in line


def test_what_cannot_be_started_or_sent_costs_one_line(
    stage: config.TrainStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "COMMAND", [str(tmp_path / "no such program")])
    for bad in (point(1), {"loss": "no number"}, {}):
        metrics = LiveMetrics(of_model(tmp_path), stage, seconds=0.0)
        metrics(bad)  # type: ignore[arg-type]
        metrics(point(2))
        metrics.close()
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_child_that_does_not_read_neither_slows_nor_fills_memory(
    stage: config.TrainStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "COMMAND", SLEEP)
    monkeypatch.setattr(live, "BUFFER_BYTES", 50_000)
    metrics = LiveMetrics(of_model(tmp_path), stage, seconds=0.0)
    started = time.process_time()
    for step in range(5_000):
        metrics(point(step))
    assert time.process_time() - started < 2.0  # measured: 0.05 s
    assert len(metrics._pending) <= 50_000
    child = metrics._child
    assert child is not None
    started = time.monotonic()
    metrics.close(timeout=0.5)
    assert time.monotonic() - started < 5.0
    assert child.poll() == -signal.SIGKILL
    (line,) = capsys.readouterr().err.splitlines()
    assert "points are left out" in line


def test_an_unreachable_server_costs_one_line(
    stage: config.TrainStage, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    metrics = LiveMetrics(of_model(tmp_path), stage, uri="http://127.0.0.1:9", seconds=0.0)
    metrics(point(1))
    metrics.close(timeout=60.0)
    (line,) = capfd.readouterr().err.splitlines()
    assert "http://127.0.0.1:9" in line
    assert "the training goes on" in line


def test_four_trainings_write_to_one_new_store_at_once(
    arm: config.Arm, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "small"
    trainings = [
        LiveMetrics(of_model(study, "rope", seed), arm.train_stage("rope", seed), seconds=0.0) for seed in range(4)
    ]
    for step in range(20):
        for seed, training in enumerate(trainings):
            training(point(step, loss=seed + step / 100))
    os.killpg(trainings[3]._child.pid, 0)  # type: ignore[union-attr]
    trainings[3]._hang_up()  # as when the trainer is killed
    for training in trainings[:3]:
        training.close(timeout=90.0)
    trainings[3]._child.wait(90)  # type: ignore[union-attr]
    assert capfd.readouterr().err == ""
    store = Store(study)
    runs = store.runs()
    assert set(runs) == {f"main/rope/seed{seed}" for seed in range(4)}
    for seed in range(4):
        expected = [(step, seed + step / 100, 1_700_000_000_500 + 1000 * step) for step in range(20)]
        assert store.points(runs[f"main/rope/seed{seed}"], "loss") == expected
        assert store.of("params", runs[f"main/rope/seed{seed}"])["encoding.name"] == "rope"
        assert store.status(runs[f"main/rope/seed{seed}"]) == ("FINISHED" if seed < 3 else "KILLED")


def test_a_resumed_training_goes_on_with_its_run(empty_store: Path, stage: config.TrainStage) -> None:
    from hope.tracking.client import connect
    from hope.tracking.runs import LiveRun

    def run(steps: range, status: str, settings: dict) -> str:
        found = LiveRun(connect(empty_store, None), of_model(empty_store), settings)
        for step in steps:
            found.send([{"step": step, "time": float(step), "metrics": {"loss": float(step)}}])
        found.end(status)
        return found.id

    settings = stage.model_dump(mode="json", by_alias=True)
    store = Store(empty_store)
    first = run(range(0, 6), "KILLED", settings)
    assert run(range(4, 10), "KILLED", settings) == first
    assert [step for step, _, _ in store.points(first, "loss")] == list(range(10))
    other = run(range(2), "FINISHED", {**settings, "seed": 1})  # other settings: another training
    assert other != first
    again = run(range(2), "FINISHED", {**settings, "seed": 1})  # trained to the end before: trained anew
    assert again != other
    assert store.runs() == {"main/hope/seed0": again}
