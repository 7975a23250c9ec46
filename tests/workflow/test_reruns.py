"""What a second run does, and what it leaves alone."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.workflow.project import Project

MODELS = 3
REPORT = dict.fromkeys(("judge_claims", "draw_figures", "render_notebook", "write_report", "sync_tracking"), 1)
LATER = {
    "evaluate_extrapolation": MODELS,
    "evaluate_retrieval": MODELS,
    "analyze_attention": 2,
    "analyze_components": 1,
    "analyze_dynamics": MODELS,
} | REPORT


def test_the_stand_in_ran_every_step_once(finished: Project) -> None:
    steps = [step for step, _ in finished.calls()]
    once = [
        "prepare-corpus",
        "tokenize",
        "check-lengths",
        "resolve",
        "init-tracking",
        "theory",
        "judge",
        "draw",
        "notebook",
        "report",
        "sync",
    ]
    assert {step: steps.count(step) for step in once} == dict.fromkeys(once, 1)
    for step in ("train", "analyze-attention", "analyze-dynamics", "extrapolate", "retrieve"):
        assert steps.count(step) == MODELS


def test_a_training_is_asked_for_its_snapshots_apart_from_what_it_learns(finished: Project) -> None:
    # With the key among the settings, every model of before it was there would be trained anew.
    for given in [given for step, given in finished.calls() if step == "train"]:
        assert "snapshots" not in json.loads(given["settings"])["training"]
        assert json.loads(given["launch"])["snapshots"] == 8


def test_a_second_run_has_nothing_to_do(finished: Project) -> None:
    again = finished.snakemake()
    assert "Nothing to be done" in again.stdout
    assert again.returncode == 0


def test_what_touches_no_result_runs_nothing(finished: Project, conda: Path) -> None:
    for name in ("config.yaml", "tiny.yaml", "envs/torch.yaml", "workflow/rules/train.smk"):
        finished.edit(name, "\n", "\n# a comment\n", count=1)
    finished.edit("envs/torch.yaml", "- pip:", "- pip:\n      - another-package==1.0")
    finished.edit("workflow/rules/train.smk", "python -m hope train ", "python -m hope  train ")
    # Same content, newer file: digests are what counts.
    manifest = finished.results / "data" / "train" / "manifest.json"
    later = time.time() + 100
    os.utime(manifest, (later, later))
    path = f"{conda}:{os.environ['PATH']}"
    assert finished.planned() == {}
    assert finished.planned("--use-conda", PATH=path) == {}


def test_to_conda_and_back_trains_nothing(project: Project, conda: Path) -> None:
    path = f"{conda}:{project.environment['PATH']}"
    done = project.snakemake("--use-conda", "--until", "train_model", PATH=path)
    assert done.returncode == 0, done.stdout
    assert "Activating conda environment" in done.stdout
    assert project.planned("--until", "train_model") == {}
    assert project.planned("--until", "train_model", "--use-conda", PATH=path) == {}


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("extrapolation: {longest: 32}", {"check_lengths": 1, "evaluate_extrapolation": MODELS}),
        ("retrieval: {prompts: 20}\ntracking: {live: false}\nreport: {title: Another}", {"evaluate_retrieval": MODELS}),
        (
            "analysis: {documents: 8}\ntracking: {uri: 'http://127.0.0.1:1'}",
            {"check_lengths": 1, "initialise_tracking": 1}
            | {"analyze_attention": 2, "analyze_components": 1, "analyze_dynamics": MODELS},
        ),
        ("training: {processes: 2, log_steps: 3, checkpoint_seconds: 5.0, bad_steps: 7, snapshots: 0}", {}),
        ("training: {snapshots: 3}", {"analyze_dynamics": MODELS}),
    ],
)
def test_evaluation_report_and_tracking_train_nothing(finished: Project, change: str, jobs: dict[str, int]) -> None:
    finished.edit("tiny.yaml", "study: tiny", f"study: tiny\n{change}")
    assert finished.planned() == {"resolve_config": 1} | jobs | REPORT


def test_a_change_of_training_and_evaluation_reaches_both(finished: Project) -> None:
    finished.edit("tiny.yaml", "study: tiny", "study: tiny\ntraining: {tokens: 5000}\nextrapolation: {longest: 32}")
    assert finished.planned() == {"resolve_config": 1, "check_lengths": 1, "train_model": MODELS} | LATER


def test_snapshots_that_are_missing_train_the_models_that_lack_them(finished: Project) -> None:
    finished.edit("tiny.yaml", "study: tiny", "study: tiny\ntraining: {snapshots: 9}")
    assert finished.planned() == {"resolve_config": 1, "train_model": MODELS} | LATER
    for folder in (finished.results / "models").glob("*/*/snapshots"):
        if "rope" not in str(folder):
            (folder / "step-00000003.safetensors").touch()
    assert finished.planned()["train_model"] == 1


def test_more_seeds_and_encodings_train_only_what_is_new(finished: Project) -> None:
    finished.edit("tiny.yaml", "[rope, alibi]", "[rope, alibi, hope]")
    finished.edit("tiny.yaml", "count: 2", "count: 3")
    plan = finished.planned()
    assert {rule: plan[rule] for rule in ("train_model", "analyze_attention", "analyze_components")} == {
        "train_model": 2,
        "analyze_attention": 1,
        "analyze_components": 1,
    }
    assert "tokenize_corpus" not in plan


def test_a_lost_tracking_store_is_made_again_and_nothing_else(finished: Project) -> None:
    for path in (finished.results / "mlflow").iterdir():
        path.unlink()
    assert finished.planned() == {"initialise_tracking": 1, "sync_tracking": 1}


def test_a_changed_file_of_the_corpus_makes_all_anew(project: Project) -> None:
    texts = project.root / "odd $(texts)"
    texts.mkdir()
    for name in ("one.txt", "two's.md", "three{braces}.txt"):
        (texts / name).write_text("text", encoding="utf-8")
    project.edit(
        "tiny.yaml", "study: tiny", f"study: tiny\ncorpus: {{source: files, files: {{paths: ['{texts.name}']}}}}"
    )
    done = project.snakemake("--until", "tokenize_corpus")
    assert done.returncode == 0, done.stdout
    assert project.planned("--until", "tokenize_corpus") == {}
    (texts / "one.txt").write_text("other text", encoding="utf-8")
    assert project.planned("--until", "tokenize_corpus") == {"prepare_corpus": 1, "tokenize_corpus": 1}
