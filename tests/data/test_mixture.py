"""The synthetic examples of a training: which tasks come when."""

from collections import Counter

import numpy as np
import pytest

from hope import config
from hope.data.mixture import Examples, digest
from hope.tasks import Vocabulary
from tests.conftest import tiny_arm

VOCABULARY = Vocabulary(200, {"start": 0, "end": 1, "separator": 2, "query": 3})
LEAD_IN = {"share": 0.4, "tasks": {"repeat": 3.0, "copy": 1.0}}


def examples(files, **mixture) -> Examples:
    """Return those of 60 steps of 8 windows, which hold nothing else."""
    content = {"tasks": {"recall": 1.0}, "lead_in": LEAD_IN} | mixture
    arm = tiny_arm(files, trained_on="tasks", training={"tokens": 32 * 8 * 60}, retrieval={"tasks": ["recall"]})
    arm = arm.model_copy(update={"mixture": config.Mixture(multiples=arm.mixture.multiples, **content)})
    # Only tasks of text read a source, and none of these does.
    return Examples(arm.train_stage("rope", 0), VOCABULARY, None)  # type: ignore[arg-type]


def task_of(example) -> str:
    """Return which of the three tasks an example is of: one has questions, one a separator, one neither."""
    tokens = set(example.tokens.tolist())
    return "recall" if 3 in tokens else "copy" if 2 in tokens else "repeat"


def tasks_of(drawn: Examples, steps: range) -> Counter:
    return Counter(task_of(example) for step in steps for _, _, example in drawn.of_step(step))


def test_the_first_steps_hold_only_the_tasks_of_the_lead_in(tiny_files):
    drawn = examples(tiny_files)
    assert drawn.led_steps == 24
    led, later = tasks_of(drawn, range(24)), tasks_of(drawn, range(24, 60))
    assert "recall" not in led and list(later) == ["recall"] and later["recall"] >= 36 * 8
    share = led["copy"] / led.total()
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / led.total()))
    assert {digest(example) for step in (0, 23, 24) for _, _, example in drawn.of_step(step)} <= drawn.digests()
    both = examples(tiny_files, tasks={"recall": 1.0, "repeat": 1.0})
    assert set(tasks_of(both, range(24))) == {"repeat", "copy"}
    assert set(tasks_of(both, range(24, 60))) == {"repeat", "recall"}


def test_without_a_lead_in_all_steps_are_alike_and_the_settings_name_none(tiny_files):
    led, plain = examples(tiny_files), examples(tiny_files, lead_in=None)
    assert plain.led_steps == 0 and set(tasks_of(plain, range(60))) == {"recall"}
    assert sorted(led.stage.tasks) == ["copy", "recall", "repeat"] and sorted(plain.stage.tasks) == ["recall"]
    assert "lead_in" in config.to_json(led.stage)
    # As in the record of a model of before there were any, whose weights count as those of the same training.
    assert "lead_in" not in config.to_json(plain.stage)
