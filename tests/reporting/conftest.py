"""Fixtures of the reporting tests: made-up study folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reporting.make_study import make_study


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
