"""The profiles: the one that loads by itself, and those that take its place."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.project import Project, make_project

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "profiles" / "default" / "config.yaml"
OTHERS = sorted((ROOT / "workflow" / "profiles").glob("*/config.yaml"))


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of which nothing was run, for plans alone."""
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def plan(untouched: Project) -> dict[str, int]:
    """The number of jobs of each rule with the default profile."""
    return untouched.planned()


def test_the_default_profile_loads_by_itself(untouched: Project) -> None:
    done = untouched.snakemake("--dry-run")
    assert "Using workflow specific profile profiles/default" in done.stdout


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.parent.name)
def test_another_profile_repeats_what_the_default_one_sets(path: Path) -> None:
    # One profile is loaded, so without these a comment in an environment file would train all models anew.
    assert read(DEFAULT).items() <= read(path).items()


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.parent.name)
def test_another_profile_plans_the_same_jobs(untouched: Project, plan: dict[str, int], path: Path) -> None:
    assert untouched.planned("--workflow-profile", str(path.parent.relative_to(ROOT))) == plan
    assert (plan["train_text"], plan["train_retrieval"]) == (3, 1)


@pytest.mark.parametrize("name", ["gpu-node", "slurm-gpu"])
def test_every_job_that_computes_with_a_model_asks_for_a_gpu(name: str, plan: dict[str, int]) -> None:
    resources = read(ROOT / "workflow" / "profiles" / name / "config.yaml")["set-resources"]
    on_models = {rule for rule in plan if rule.startswith(("train_", "analyze_", "evaluate_"))}
    assert on_models | {"train_main"} == {rule for rule, wanted in resources.items() if wanted["gpu"] == 1}


@pytest.mark.parametrize(
    "path", [path for path in OTHERS if "set-threads" in read(path)], ids=lambda path: path.parent.name
)
def test_a_job_for_all_cores_of_a_machine_fits_on_a_node(path: Path) -> None:
    rules = "".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    greedy = {
        rule.partition(":")[0] for rule in re.split(r"^rule ", rules, flags=re.MULTILINE) if "threads: 1024" in rule
    }
    local = set(re.findall(r"^    (\w+),$", rules.partition("localrules:\n")[2], re.MULTILINE))
    assert greedy - local == read(path)["set-threads"].keys()


QSUB = """#!/bin/sh
# Stands in for a scheduler: runs the script, its last argument, in the background and prints an id.
for script; do :; done
sh "$script" > "$script.log" 2>&1 &
echo "$@" >> submitted.txt
echo $!
"""


@pytest.mark.slow
def test_jobs_go_to_a_generic_cluster_and_come_back(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    commands = tmp_path_factory.mktemp("commands")
    (commands / "qsub").write_text(QSUB, encoding="utf-8")
    (commands / "qsub").chmod(0o755)
    path = f"{commands}:{project.environment['PATH']}"
    profile = "workflow/profiles/cluster-generic"
    done = project.snakemake("--workflow-profile", profile, "--latency-wait", "5", "--until", "train_text", PATH=path)
    assert done.returncode == 0, done.stdout
    assert [step for step, _ in project.calls()].count("train") == 3
    submitted = (project.root / "submitted.txt").read_text(encoding="utf-8")
    assert submitted.count("-l walltime=1440:00 ") == 3 and "select=1:ncpus=1:mem=4000mb" in submitted
