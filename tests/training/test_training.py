"""Whole trainings: what they leave behind, signals, second trainers and bad input, as a user meets them."""

import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hope import config
from hope.files import exclusive_lock, read_json
from tests.training.conftest import Preloaded, same, train_flags, until, weights, with_training


def test_a_training_leaves_weights_config_history_and_provenance(undisturbed):
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


def test_the_same_seed_gives_the_same_bits_from_a_bare_command(undisturbed, stage, tiny_data, tmp_path, hope_command):
    done = hope_command(*train_flags(stage, tiny_data, tmp_path))
    assert done.returncode == 0, done.stderr
    assert same(weights(tmp_path), weights(undisturbed))


@pytest.mark.parametrize(("number", "processes"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_a_signal_writes_a_checkpoint_from_which_it_goes_on(
    number, processes, preloaded: Preloaded, stage, tiny_data, tmp_path
):
    longer = with_training(stage, tokens=256 * 20_000, checkpoint_seconds=1e9, processes=processes)
    run = preloaded.train(longer, tiny_data, tmp_path)
    # The first sign of life in the checkpoint folder comes when the first step begins.
    until(lambda: list(tmp_path.glob("checkpoints/*/heartbeat.json")))
    run.send(number)
    assert run.wait() == 128 + number
    (line,) = [line for line in run.output.splitlines() if line.startswith("stopped by a signal at step")]
    step = int(line.split()[6])
    assert [path.name for path in tmp_path.glob("checkpoints/*/step-*")] == [f"step-{step:08d}"]
    assert not (tmp_path / "model").exists()
    again = preloaded.train(longer, tiny_data, tmp_path)
    until(lambda: f"resumed at step {step} of 20000" in again.output)
    again.send(signal.SIGTERM)
    assert again.wait() == 128 + signal.SIGTERM


@pytest.fixture
def lock(undisturbed: Path, tmp_path: Path) -> Path:
    """Return the lock of a training that is done, below ``tmp_path``."""
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob("checkpoints/*.lock")
    return path


def test_a_second_trainer_waits_and_finds_the_model_done(preloaded: Preloaded, stage, tiny_data, tmp_path, lock):
    with exclusive_lock(lock, wait=False):
        second = preloaded.train(stage, tiny_data, tmp_path)
        until(lambda: "\n" in second.output)
        waiting = second.output.splitlines()[0]
    assert re.search(rf"held by process {os.getpid()} on \S+; waiting for it to end$", waiting)
    assert second.wait() == 0
    assert second.output.splitlines()[1] == f"{tmp_path / 'model'}: trained already"


def test_a_signal_ends_a_training_that_waits_for_another(preloaded: Preloaded, stage, tiny_data, tmp_path, lock):
    with exclusive_lock(lock, wait=False):
        second = preloaded.train(stage, tiny_data, tmp_path)
        until(lambda: "waiting" in second.output)
        second.send(signal.SIGTERM)
        assert second.wait() == -signal.SIGTERM


TOO_FAST = {"learning_rate": 1e30, "clip": 1e30, "warmup_steps": 0}
NO_NUMBER = "hope, seed 1: the loss's gradient is no number at step 2 (batch 1 of seed 1)"


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"length": 100_000}, "training.length: a window needs"),
        (TOO_FAST, f"{NO_NUMBER}; lower training.learning_rate or raise training.warmup_steps"),
        pytest.param({**TOO_FAST, "processes": 2}, NO_NUMBER, marks=pytest.mark.slow),
        # ZeRO would leave the step out, and all that follow.
        ({**TOO_FAST, "zero_stage": 2}, NO_NUMBER),
        ({**TOO_FAST, "zero_stage": 3, "precision": "bfloat16"}, NO_NUMBER),
    ],
)
def test_what_cannot_be_trained_is_one_clear_line(over, words, preloaded: Preloaded, stage, tiny_data, tmp_path):
    run = preloaded.train(with_training(stage, **over), tiny_data, tmp_path)
    assert run.wait() == 1
    assert len(run.errors) == 1 and words in run.errors[0]
    assert "Traceback" not in run.output
    assert not (tmp_path / "model" / "model.safetensors").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_damaged_data_are_one_clear_line(processes, preloaded: Preloaded, stage, tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    shard = next((tmp_path / "data" / "train").glob("shard-*.bin"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    runs = preloaded.train_together(with_training(stage, processes=processes), tmp_path / "data", tmp_path)
    assert {run.wait() for run in runs} == {1}
    (error,) = [error for run in runs for error in run.errors]
    assert shard.name in error
    assert not any("Traceback" in run.output for run in runs)


def test_an_unfinished_training_with_other_settings_is_named(preloaded: Preloaded, stage, tiny_data, tmp_path):
    first = preloaded.train(with_training(stage, tokens=256 * 20_000, checkpoint_seconds=0.0), tiny_data, tmp_path)
    until(lambda: list(tmp_path.glob("checkpoints/*/step-*")))
    first.send(signal.SIGTERM)
    first.wait()
    (left,) = {path.parent for path in tmp_path.glob("checkpoints/*/step-*")}
    other = stage.model_copy(update={"training": stage.training.model_copy(update={"learning_rate": 1e-3})})
    second = preloaded.trained(other, tiny_data, tmp_path)
    assert (
        f"{left}: an unfinished training with another training.learning_rate, training.tokens lies there"
        in second.output
    )
    assert "resumed" not in second.output
    assert list(left.glob("step-*")), "another training's checkpoint is not touched"


@pytest.mark.skipif(not Path("/dev/nvidiactl").exists(), reason="needs an NVIDIA GPU")
def test_a_training_on_a_gpu_locks_its_device_and_ends_near_the_cpu_s_weights(
    undisturbed, stage, tiny_data, tmp_path, hope_command
):
    done = hope_command(*train_flags(stage, tiny_data, tmp_path), env={**os.environ})
    assert done.returncode == 0, done.stderr
    expected = weights(undisturbed)
    for name, found in weights(tmp_path).items():
        np.testing.assert_allclose(found, expected[name], atol=2e-3, err_msg=name)
    from hope.training.devices import LOCKS, installed_devices

    assert {path.stem for path in LOCKS.glob("*.lock")} & set(installed_devices())


def test_the_config_s_sum_of_processes_is_checked(stage):
    with pytest.raises(ValueError, match="batch_windows 8 is no multiple of processes 3 on each of nodes 2"):
        config.Training.model_validate({**stage.training.model_dump(), "processes": 3, "nodes": 2})
