"""A training that is killed again and again ends with the bits of one that was left alone."""

import random
import signal
import time
from pathlib import Path

import pytest

from hope import config
from hope.files import read_json
from tests.training.conftest import Preloaded, Run, kill, same, until, weights, with_training

STEPS = 140
LAST = 110
"""Step up to which it is killed: the rest is for it to end in."""


def saved(folder: Path) -> int:
    """Return the step of the newest whole checkpoint."""
    return max((int(path.name.removeprefix("step-")) for path in folder.glob("checkpoints/*/step-*")), default=0)


def writing(folder: Path) -> bool:
    """Return whether a checkpoint is half-written."""
    return any(not path.name.startswith("partial-dropped") for path in folder.glob("checkpoints/*/partial-*"))


def stop_within_a_checkpoint(run: Run, folder: Path, delay: float) -> None:
    """Halt a training some seconds after it began to write a checkpoint, or sooner, while it still writes it."""
    while True:
        until(lambda: writing(folder))
        time.sleep(delay)
        run.send(signal.SIGSTOP)
        if writing(folder):
            return
        run.send(signal.SIGCONT)
        # On an idle machine a checkpoint may be written in less, each time anew, until the training has ended.
        delay /= 2


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_kills_change_no_bit(
    kills: int,
    preloaded: Preloaded,
    stage: config.TrainStage,
    tiny_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    tokens = STEPS * stage.training.length * stage.training.batch_windows
    # Without checkpoints, and with one at each step, that is half of the time within one.
    left_alone = with_training(stage, tokens=tokens, checkpoint_seconds=1e9)
    preloaded.trained(left_alone, tiny_data, tmp_path / "whole")
    killed_often, folder = with_training(stage, tokens=tokens, checkpoint_seconds=0.0), tmp_path / "killed"
    moments = random.Random(20)
    within = resumes = before = 0
    for number in range(kills):
        run = preloaded.train(killed_often, tiny_data, folder)
        goal = before + moments.randint(1, max(1, 2 * (LAST - before) // (kills - number)))
        goal = min(goal, LAST)
        until(lambda goal=goal: saved(folder) >= goal)
        if number % 2:
            stop_within_a_checkpoint(run, folder, moments.uniform(0.0, 0.01))
        else:
            time.sleep(moments.uniform(0.0, 0.05))
        kill(run)
        assert not (folder / "model").exists(), "it had come to its end"
        within += writing(folder)
        resumes += f"resumed at step {before} of" in run.output if before else 0
        assert run.output.count("damaged") == 0
        before = saved(folder)
    last = preloaded.trained(killed_often, tiny_data, folder)
    resumes += f"resumed at step {before} of" in last.output
    assert same(weights(folder), weights(tmp_path / "whole"))
    assert resumes == kills
    assert within >= kills // 2
    with capsys.disabled():
        print(f"\n{kills} kills up to step {before} of {STEPS}, {within} within a checkpoint; {resumes} resumes")
    assert read_json(folder / "model" / "config.json") == read_json(tmp_path / "whole" / "model" / "config.json")


@pytest.mark.parametrize(
    "last",
    ["model.safetensors", *(pytest.param(name, marks=pytest.mark.slow) for name in ("history.parquet", "run.json"))],
)
def test_a_training_killed_while_it_writes_its_model_ends_with_the_same_bits(
    last: str, preloaded: Preloaded, stage: config.TrainStage, undisturbed: Path, tiny_data: Path, tmp_path: Path
) -> None:
    run = preloaded.train(with_training(stage, checkpoint_seconds=0.0), tiny_data, tmp_path)
    until(lambda: (tmp_path / "model" / last).exists())
    kill(run)
    preloaded.trained(stage, tiny_data, tmp_path)
    assert same(weights(tmp_path), weights(undisturbed))
    assert read_json(tmp_path / "model" / "run.json")["stage"] == "train"
    assert [path.suffix for path in (tmp_path / "checkpoints").iterdir()] == [".lock"]
