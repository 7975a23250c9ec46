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
    held = set(example.tokens.tolist())
    return "recall" if 3 in held else "copy" if 2 in held else "repeat"


def tasks_of(found: Examples, steps: range) -> Counter:
    return Counter(task_of(example) for step in steps for _, _, example in found.of_step(step))


def test_the_first_steps_hold_only_the_tasks_of_the_lead_in(tiny_files):
    found = examples(tiny_files)
    assert found.led_steps == 24
    for step in range(24):
        assert "recall" not in tasks_of(found, range(step, step + 1))
    later = tasks_of(found, range(24, 60))
    assert list(later) == ["recall"] and later["recall"] >= 36 * 8
    led = tasks_of(found, range(24))
    share = led["copy"] / led.total()
    assert share == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / led.total()))


def test_a_task_may_be_in_the_lead_in_and_behind_it(tiny_files):
    found = examples(tiny_files, tasks={"recall": 1.0, "repeat": 1.0})
    assert set(tasks_of(found, range(24))) == {"repeat", "copy"}
    assert set(tasks_of(found, range(24, 60))) == {"repeat", "recall"}


def test_without_a_lead_in_all_steps_are_alike(tiny_files):
    found = examples(tiny_files, lead_in=None)
    assert found.led_steps == 0 and set(tasks_of(found, range(60))) == {"recall"}


def test_examples_of_the_lead_in_are_among_those_that_no_prompt_may_be(tiny_files):
    found = examples(tiny_files)
    digests = found.digests()
    assert {digest(example) for step in (0, 23, 24) for _, _, example in found.of_step(step)} <= digests


def test_a_lead_in_is_part_of_the_training_and_its_tasks_are(tiny_files):
    with_it, without = examples(tiny_files).stage, examples(tiny_files, lead_in=None).stage
    assert sorted(with_it.tasks) == ["copy", "recall", "repeat"] and sorted(without.tasks) == ["recall"]
    assert "lead_in" in config.to_json(with_it)
    # As in the record of a model of before there were any, whose weights count as those of the same training.
    assert "lead_in" not in config.to_json(without)
