"""What a second run does, and what it leaves alone."""

import json
import os
import time
from pathlib import Path

import pytest

from tests.workflow.project import Project

MODELS = 3
"""Models of the arm that is trained on text."""
REPORT = dict.fromkeys(("judge_claims", "draw_figures", "render_notebook", "write_report", "sync_tracking"), 1)
LATER = {
    "evaluate_extrapolation": MODELS,
    "evaluate_retrieval": 1,
    "analyze_attention": 2,
    "analyze_components": 1,
    "analyze_dynamics": MODELS,
} | REPORT


def test_the_stand_in_ran_every_step_once(finished: Project) -> None:
    steps = [step for step, _ in finished.calls()]
    once = [
        "prepare-corpus",
        "tokenize",
        "write-symbols",
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
    for step in ("analyze-attention", "analyze-dynamics", "extrapolate"):
        assert steps.count(step) == MODELS
    assert (steps.count("train"), steps.count("retrieve")) == (MODELS + 1, 1)


def test_a_training_is_asked_for_its_snapshots_apart_from_what_it_learns(finished: Project) -> None:
    # With the key among the settings, every model of before it was there would be trained anew.
    trained = [given for step, given in finished.calls() if step == "train"]
    assert not [given for given in trained if "snapshots" in json.loads(given["settings"])["training"]]
    assert sorted(json.loads(given["launch"])["snapshots"] for given in trained) == [0, 8, 8, 8]


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
    later = time.time() + 100
    manifests = list((finished.results / "data").glob("*/train/manifest.json"))
    assert len(manifests) == 2
    for manifest in manifests:
        os.utime(manifest, (later, later))
    path = f"{conda}:{os.environ['PATH']}"
    assert finished.planned() == {}
    assert finished.planned("--use-conda", PATH=path) == {}


def test_to_conda_and_back_trains_nothing(project: Project, conda: Path) -> None:
    path = f"{conda}:{project.environment['PATH']}"
    done = project.snakemake("--use-conda", "--until", "train_text", PATH=path)
    assert done.returncode == 0, done.stdout
    assert "Activating conda environment" in done.stdout
    assert project.planned("--until", "train_text") == {}
    assert project.planned("--until", "train_text", "--use-conda", PATH=path) == {}


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("extrapolation: {longest: 32}", {"check_lengths": 1, "evaluate_extrapolation": MODELS}),
        ("retrieval: {prompts: 20}\ntracking: {live: false}\nreport: {title: Another}", {"evaluate_retrieval": 1}),
        (
            "analysis: {documents: 8}\ntracking: {uri: 'http://127.0.0.1:1'}",
            {"check_lengths": 1, "initialise_tracking": 1}
            | {"analyze_attention": 2, "analyze_components": 1, "analyze_dynamics": MODELS},
        ),
        ("training: {processes: 2, log_steps: 3, checkpoint_seconds: 5.0, bad_steps: 7, snapshots: 0}", {}),
    ],
)
def test_evaluation_report_and_tracking_train_nothing(finished: Project, change: str, jobs: dict[str, int]) -> None:
    finished.edit("tiny.yaml", "study: tiny", f"study: tiny\n{change}")
    assert finished.planned() == {"resolve_config": 1} | jobs | REPORT


def test_a_change_in_one_arm_touches_no_other(finished: Project) -> None:
    finished.edit("tiny.yaml", "rope: 1, hope: 1}}}", "rope: 1, hope: 1}}, training: {snapshots: 3}}")
    assert finished.planned() == {"resolve_config": 1, "analyze_dynamics": MODELS} | REPORT
    finished.edit("tiny.yaml", "snapshots: 3", "length: 64")
    plan = finished.planned()
    assert plan["train_text"] == MODELS and "train_retrieval" not in plan and "evaluate_retrieval" not in plan


def test_an_arm_that_is_added_or_dropped_trains_nothing_else(finished: Project) -> None:
    finished.edit("tiny.yaml", "arms:", "arms:\n  small: {encodings: [rope], model: {layers: 1}, seeds: {count: 1}}")
    plan = finished.planned()
    assert plan["train_small"] == 1 and not plan.keys() & {"train_text", "train_retrieval", "tokenize_corpus"}
    finished.edit("tiny.yaml", "small: {encodings: [rope], model: {layers: 1}, seeds: {count: 1}}", "retrieval: null")
    finished.edit("tiny.yaml", "  retrieval: {encodings: [rope], seeds: {per_encoding: {rope: 1}}}\n", "")
    assert finished.planned() == {"resolve_config": 1} | REPORT


def test_a_change_of_training_and_evaluation_reaches_both(finished: Project) -> None:
    finished.edit("tiny.yaml", "study: tiny", "study: tiny\ntraining: {tokens: 5000}\nextrapolation: {longest: 32}")
    assert (
        finished.planned()
        == {"resolve_config": 1, "check_lengths": 1, "train_text": MODELS, "train_retrieval": 1} | LATER
    )


def test_snapshots_that_are_missing_train_the_models_that_lack_them(finished: Project) -> None:
    finished.edit("tiny.yaml", "rope: 1, hope: 1}}}", "rope: 1, hope: 1}}, training: {snapshots: 9}}")
    of_text = {rule: count for rule, count in LATER.items() if rule != "evaluate_retrieval"}
    assert finished.planned() == {"resolve_config": 1, "train_text": MODELS} | of_text
    for folder in (finished.results / "models" / "text").glob("*/*/snapshots"):
        if "rope" not in str(folder):
            first = min(folder.iterdir())
            first.with_name(f"step-{int(first.stem.removeprefix('step-')) // 2:08}.safetensors").touch()
    assert finished.planned()["train_text"] == 1


def test_more_seeds_and_encodings_train_only_what_is_new(finished: Project) -> None:
    finished.edit("tiny.yaml", "[rope, alibi]", "[rope, alibi, hope]")
    finished.edit("tiny.yaml", "count: 2", "count: 3")
    plan = finished.planned()
    assert {rule: plan[rule] for rule in ("train_text", "analyze_attention", "analyze_components")} == {
        "train_text": 2,
        "analyze_attention": 1,
        "analyze_components": 1,
    }
    assert not plan.keys() & {"train_retrieval", "tokenize_corpus"}


def test_a_lost_tracking_store_is_made_again_and_nothing_else(finished: Project) -> None:
    for path in (finished.results / "mlflow").iterdir():
        path.unlink()
    assert finished.planned() == {"initialise_tracking": 1, "sync_tracking": 1}


def test_a_lost_figure_or_notebook_is_made_again(finished: Project) -> None:
    next(path for path in finished.results.glob("report/*.html") if path.stem != "index").unlink()
    assert finished.planned() == {"render_notebook": 1, "sync_tracking": 1, "write_report": 1}
    next(finished.results.glob("figures/*/*.svg")).unlink()
    assert finished.planned()["draw_figures"] == 1


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
    (texts / "one.txt").touch()
    assert project.planned("--until", "tokenize_corpus") == {}
    (texts / "one.txt").write_text("other text", encoding="utf-8")
    # As `mv` and `rsync -t` do, which keep the time of the file that they bring.
    os.utime(texts / "one.txt", (1, 1))
    assert project.planned("--until", "tokenize_corpus") == {"prepare_corpus": 1, "tokenize_corpus": 1}


@pytest.mark.slow
def test_shards_are_jobs_of_their_own_and_a_changed_local_tokenizer_makes_tokens_anew(project: Project) -> None:
    texts = project.root / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("a text")
    (texts / "tokenizer.json").write_text("{}")
    corpus = "corpus: {source: files, files: {paths: [texts/a.txt]}, shards: 3}"
    tokens = "tokens: {tokenizer: pretrained, pretrained: texts}"
    project.edit("tiny.yaml", "study: tiny", f"study: tiny\n{corpus}\n{tokens}")
    jobs = {"read_part": 3, "prepare_corpus": 1, "fit_tokenizer": 1, "tokenize_part": 3, "join_tokens": 1}
    assert project.planned("--until", "join_tokens").items() >= jobs.items()
    done = project.snakemake("--until", "join_tokens", STAND_IN_FAILS="prepare-corpus")
    assert done.returncode == 1 and done.stdout.count("read part 0000") == 3
    # A study that was cut short goes on at the shard: the parts that were read are there.
    next((project.results / "data").glob("*/corpus/parts/00001/lines.parquet")).unlink()
    assert project.planned("--until", "join_tokens").items() >= (jobs | {"read_part": 1}).items()
    done = project.snakemake("--until", "join_tokens")
    assert done.returncode == 0, done.stdout
    assert project.planned("--until", "join_tokens") == {}
    (texts / "tokenizer.json").write_text('{"changed": true}')
    os.utime(texts / "tokenizer.json", (1, 1))
    assert project.planned("--until", "join_tokens") == {"fit_tokenizer": 1, "tokenize_part": 3, "join_tokens": 1}
