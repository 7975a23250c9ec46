"""The profiles: the one that loads by itself, and those that take its place."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.project import Project

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "profiles" / "default" / "config.yaml"
OTHERS = sorted((ROOT / "workflow" / "profiles").glob("*/config.yaml"))


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_the_default_profile_loads_by_itself(project: Project) -> None:
    done = project.snakemake("--dry-run")
    assert "Using workflow specific profile profiles/default" in done.stdout


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.parent.name)
def test_another_profile_repeats_what_the_default_one_sets(path: Path) -> None:
    # One profile is loaded, so without these a comment in an environment file would train all models anew.
    assert read(DEFAULT).items() <= read(path).items()


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.parent.name)
def test_another_profile_plans_the_same_jobs(project: Project, path: Path) -> None:
    plan = project.planned("--workflow-profile", str(path.parent.relative_to(ROOT)))
    assert plan == project.planned()
    assert (plan["train_text"], plan["train_retrieval"]) == (3, 1)
