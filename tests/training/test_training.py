"""Whole trainings: ZeRO stages, processes, kills, signals and bad input, as a user starts them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from hope import config
from hope.files import exclusive_lock, read_json
from tests.conftest import ROOT, tiny_study


def command(stage: config.TrainStage, data: Path, folder: Path) -> list[str]:
    paths = {"data": data, "output": folder / "model", "checkpoints": folder / "checkpoints"}
    flags = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    return [sys.executable, "-m", "hope", "train", "--settings", config.to_json(stage), *flags]


def train(stage: config.TrainStage, data: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(stage, data, folder),
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model" / "model.safetensors")


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def stage(tiny_files):
    return tiny_study(tiny_files).train_stage("hope", 1)


def with_training(stage: config.TrainStage, **over: object) -> config.TrainStage:
    return stage.model_copy(update={"training": stage.training.model_copy(update=over)})


@pytest.fixture(scope="module")
def undisturbed(stage, tiny_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run = train(stage, tiny_data, folder)
    assert run.returncode == 0, run.stderr
    return folder


def test_a_training_leaves_weights_config_history_and_provenance(undisturbed, stage):
    model = undisturbed / "model"
    history = pq.read_table(model / "history.parquet").to_pydict()
    assert history["step"] == [4, 8, 12]
    assert history["tokens"] == [4 * 256, 8 * 256, 12 * 256]
    assert history["text_loss"][-1] < history["text_loss"][0]
    assert history["loss"] == pytest.approx(np.add(history["text_loss"], history["synthetic_loss"]))
    assert all(0 < norm < 100 for norm in history["gradient_norm"])
    assert read_json(model / "config.json")["encoding"]["name"] == "hope"
    record = read_json(model / "run.json")
    assert record["settings"]["seed"] == 1 and "model.safetensors" in str(record["outputs"])
    assert [path.suffix for path in (undisturbed / "checkpoints").iterdir()] == [".lock"]


def test_the_same_seed_gives_the_same_bits(undisturbed, stage, tiny_data, tmp_path):
    assert train(stage, tiny_data, tmp_path).returncode == 0
    assert same(weights(tmp_path), weights(undisturbed))


@pytest.mark.parametrize(("zero", "processes"), [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (3, 2)])
def test_zero_stages_and_processes_agree_without_any_program_on_the_path(
    zero, processes, stage, undisturbed, tiny_data, tmp_path
):
    other = with_training(stage, zero_stage=zero, processes=processes, micro_batch_windows=2)
    run = train(other, tiny_data, tmp_path, PATH="")
    assert run.returncode == 0, run.stderr
    norms, expected_norms = (
        pq.read_table(folder / "model" / "history.parquet")["gradient_norm"].to_pylist()
        for folder in (tmp_path, undisturbed)
    )
    assert norms == pytest.approx(expected_norms, rel=1e-3)
    expected = weights(undisturbed)
    for name, found in weights(tmp_path).items():
        np.testing.assert_allclose(found, expected[name], atol=2e-4, err_msg=name)


@pytest.mark.parametrize(("zero", "processes"), [(0, 1), (2, 2)])
def test_a_training_killed_anywhere_ends_with_the_same_bits(zero, processes, stage, tiny_data, tmp_path):
    over = {"zero_stage": zero, "processes": processes, "checkpoint_seconds": 0.0, "tokens": 256 * 60}
    changed = with_training(stage, **over)
    whole = train(changed, tiny_data, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        command(changed, tiny_data, folder),
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 90
    while not list(folder.glob("checkpoints/*/step-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "model" / "model.safetensors").exists()
    again = train(changed, tiny_data, folder)
    assert again.returncode == 0, again.stderr
    assert "resumed at step" in again.stdout
    assert same(weights(folder), weights(tmp_path / "whole"))


def test_a_terminated_training_writes_a_checkpoint_and_goes_on(stage, tiny_data, tmp_path):
    longer = with_training(stage, tokens=256 * 20_000)
    process = subprocess.Popen(
        command(longer, tiny_data, tmp_path), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step "):
            process.send_signal(signal.SIGTERM)
            break
    rest = process.stdout.read()
    assert process.wait() == 128 + signal.SIGTERM
    assert "stopped by a signal at step" in rest
    assert len(list(tmp_path.glob("checkpoints/*/step-*"))) == 1
    assert not (tmp_path / "model").exists()


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(stage, tiny_data, tmp_path):
    changed = with_training(stage, checkpoint_seconds=0.0, tokens=256 * 400)
    process = subprocess.Popen(
        command(changed, tiny_data, tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 90
    while len(list(tmp_path.glob("checkpoints/*/step-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    newest = max(tmp_path.glob("checkpoints/*/step-*"))
    damaged = max(newest.rglob("*.pt"), key=lambda path: path.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:-100])
    again = train(changed, tiny_data, tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"checkpoint {newest.name}: {damaged.name} is damaged" in again.stdout
    step = int(newest.name.removeprefix("step-"))
    assert f"resumed at step {step - 1} of 400" in again.stdout


def test_a_second_trainer_waits_and_finds_the_model_done(stage, tiny_data, tmp_path, undisturbed):
    first = train(stage, tiny_data, tmp_path)
    assert first.returncode == 0
    (lock,) = tmp_path.glob("checkpoints/*.lock")
    with exclusive_lock(lock, wait=False):
        second = subprocess.Popen(command(stage, tiny_data, tmp_path), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        waiting = second.stdout.readline()
    assert f"held by process {os.getpid()} on " in waiting and waiting.rstrip().endswith("waiting for it to end")
    assert "trained by another process meanwhile" in second.stdout.read()
    assert second.wait() == 0


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"length": 100_000}, "training.length: a window needs"),
        ({"learning_rate": 1e30, "clip": 1e30, "warmup_steps": 0}, "the loss is no number at step"),
    ],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_what_cannot_be_trained_is_one_clear_line(over, words, processes, stage, tiny_data, tmp_path):
    run = train(with_training(stage, processes=processes, **over), tiny_data, tmp_path)
    assert run.returncode == 1
    errors = [line for line in run.stderr.splitlines() if line.startswith("hope: error:")]
    assert len(errors) == 1 and words in errors[0]
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "model" / "model.safetensors").exists()
