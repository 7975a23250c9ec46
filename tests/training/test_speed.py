import time

import pytest
import torch

from hope import config
from hope.training import speed
from tests.conftest import tiny_arm


def test_the_speed_is_of_one_training(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.05)
    assert 100 < speed.training_speed(tiny_arm(tmp_path), 64) < 1e7
    assert speed.is_measured(speed.LARGEST)


def test_a_resumed_training_counts_only_its_own_steps_for_its_speed(
    stage: config.TrainStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hope.training import train

    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(train.dist, "get_rank", lambda: 0)
    monkeypatch.setattr(train.dist, "get_world_size", lambda: 1)
    step, tokens = torch.ones(3, dtype=torch.float64), stage.training.batch_windows * stage.training.length

    def advance(curve: train.Curve, steps: int) -> None:
        for _ in range(steps):
            now[0] += 0.5
            curve.add(step)

    stopped = train.Curve(stage, torch.device("cpu"), None)
    advance(stopped, 9)
    now[0] += 1000.0
    resumed = train.Curve(stage, torch.device("cpu"), stopped.state())
    advance(resumed, 1)
    point = resumed.close_point(10, None)
    assert point["tokens_per_second"] == 2 * tokens
    assert point["text_loss"] == 1.0, "the mean is over all ten steps"
    advance(resumed, 10)
    assert resumed.close_point(20, None)["tokens_per_second"] == 2 * tokens
