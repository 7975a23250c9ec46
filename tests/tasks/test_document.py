"""docs/tasks.md: every task is there, and its own example works as it stands."""

import re
import sys
from pathlib import Path

import numpy as np
import yaml

from hope import config
from hope.seeding import generator
from hope.tasks import Vocabulary, build_task

DOCUMENT = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


def block(kind: str, begins: str) -> str:
    """Return the code block that begins with a text."""
    (found,) = [text for text in re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, re.DOTALL) if text.startswith(begins)]
    return found


def test_every_task_stands_in_the_table_with_its_chance_and_whether_it_is_trained():
    rows = {row[0]: row for row in re.findall(r"^\| `(\w+)` \| `.*` \| (.*) \| (yes|no) \| .* \|$", DOCUMENT, re.M)}
    assert list(rows) == list(config.TASKS)
    arms = config.load_study([Path(__file__).parents[2] / "config.yaml"]).arms.values()
    for name, (_, chance, trained) in rows.items():
        assert (trained == "yes") == any(name in arm.trained_tasks for arm in arms)
        if chance.startswith("1/"):
            task = build_task(name, config.Tasks().task(name), Vocabulary(600, {"separator": 0, "query": 1}), _Zeros())
            assert task.example(generator("test"), 64).chance == 1 / int(re.split(r"\D", chance[2:])[0])


class _Zeros:
    def span(self, random: np.random.Generator, count: int) -> np.ndarray:
        return np.zeros(count, dtype=np.int64)


def parse_overlay(content: dict) -> config.Study:
    """Return the study that an overlay of config.yaml describes."""
    return config.load_study([Path(__file__).parents[2] / "config.yaml"], content)


def test_the_example_of_ones_own_task_works_as_it_stands(tmp_path, monkeypatch):
    (tmp_path / "my_tasks.py").write_text(block("python", "# my_tasks.py"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_tasks", raising=False)
    content = yaml.safe_load(block("yaml", "study: mine"))
    arm = parse_overlay(content).arms["retrieval"]
    assert "reverse" in arm.train_stage("rope", 0).tasks
    # Its alphabet fits into the vocabulary that the built-in tasks of the arm have.
    assert arm.symbols == parse_overlay({"study": "plain"}).arms["retrieval"].symbols
    definition = arm.retrieval_stage().tasks["reverse"]
    task = build_task("reverse", definition, Vocabulary(600, {"separator": 2, "query": 3}), _Zeros())
    for length in (16, 33):
        example = task.example(generator("test"), length)
        (at,) = np.flatnonzero(example.tokens == 2)
        assert len(example.tokens) == length and example.chance == 1 / 32
        assert np.array_equal(example.tokens[at + 1 :], example.tokens[2 * at - length + 1 : at][::-1])
        assert np.flatnonzero(example.answer).tolist() == list(range(at + 2, length))
