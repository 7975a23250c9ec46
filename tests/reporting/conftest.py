"""Fixtures of the reporting tests: made-up study folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reporting.finished import judged
from tests.reporting.make_study import make_study, with_retrieval


@pytest.fixture
def new_study(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a made-up study under the test's folder and returns its path."""
    made: list[Path] = []

    def new(*arguments: object, **keywords: object) -> Path:
        made.append(tmp_path / f"study-{len(made)}")
        return make_study(made[-1], *arguments, **keywords)  # type: ignore[arg-type]

    return new


@pytest.fixture(scope="session")
def shared_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a made-up study that tests read and must not change, or copy first."""
    return make_study(tmp_path_factory.mktemp("shared") / "study")


@pytest.fixture(scope="session")
def judged_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a made-up study of two arms with tables and verdicts, which tests must not change, or copy first."""
    seeds = {"rope": 3, "hope": 3, "none": 1, "alibi": 2}
    multiples = [1.0, 2.0, 4.0]
    retrieval = {"prompts": 12, "tasks": ["copy", "few_shot", "passkey"], "multiples": multiples}
    arms = with_retrieval({"rope": 3, "hope": 3}, retrieval={"multiples": multiples})
    tasks = {"passkey": {"depths": [0.0, 0.3, 1.0]}}
    folder = tmp_path_factory.mktemp("judged") / "study"
    return judged(make_study(folder, seeds=seeds, arms=arms, retrieval=retrieval, tasks=tasks))
