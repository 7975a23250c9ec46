"""The training benchmark's sides do the same work, and a side that does not stops it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import training
from benchmarks.training_sides import Setting, bare_loop, random_corpus, transformers_loop
from hope.training.batches import Batches
from tests.conftest import tiny_arm

VOCABULARY = 512
STEPS = 3


@pytest.fixture(scope="module")
def setting(tiny_files: Path) -> Setting:
    arm = tiny_arm(tiny_files, training={"micro_batch_windows": 4})
    return Setting(arm.train_stage("rope", 0), arm.encoding("hope"), VOCABULARY, 1)


def side(setting: Setting, step: Any) -> Any:
    """Return what the benchmark keeps of a side: its first losses."""
    batches = Batches(setting.stage, random_corpus(VOCABULARY, setting.stage.training.length))
    return SimpleNamespace(first={"losses": [float(step(number, batches.batch(number))) for number in range(STEPS)]})


def test_the_plain_loops_train_alike(setting: Setting) -> None:
    torch.manual_seed(0)
    sides = {"hope, bare loop": side(setting, bare_loop(setting))}
    sides["transformers"] = side(setting, transformers_loop(setting, "transformers"))
    losses = sides["transformers"].first["losses"]
    assert losses == pytest.approx(sides["hope, bare loop"].first["losses"], rel=1e-5)
    assert len(set(losses)) == STEPS
    training.check_losses(sides, list(sides), setting)
    sides["transformers"].first["losses"][-1] *= 1.002
    with pytest.raises(SystemExit, match="'transformers' and 'hope, bare loop' train differently"):
        training.check_losses(sides, list(sides), setting)


def test_a_setting_reaches_its_sides_unchanged(setting: Setting) -> None:
    assert Setting.from_json(setting.to_json()) == setting


@pytest.mark.parametrize(("times_hope", "as_fast"), [(0.99, True), (1.009, True), (1.02, False)])
def test_hope_may_be_slower_by_what_two_equal_sides_differ(times_hope: float, as_fast: bool) -> None:
    rows = {"hope again": {"hope_times_it": [0.99, 1.0, 1.01]}, "hope, HoPE": {"hope_times_it": [0.9, times_hope, 1.1]}}
    assert training.as_fast(rows) is as_fast
    assert training.as_fast({}) is None
