"""The plan as a user meets it: the command on every preset, hours by hand, and what goes together."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hope import config
from hope.cli import main
from hope.errors import UserError
from hope.plan.estimate import PlanOptions, estimate_plan
from hope.plan.text import plan_text
from tests.conftest import ROOT, tiny_arm

PRESETS = sorted((ROOT / "workflow" / "presets").glob("*.yaml"))


def arm_of(files: Path, **training: Any) -> config.Arm:
    """Return an arm of five trainings in bfloat16, each on two devices."""
    over = {"precision": "bfloat16", "processes": 2, "batch_windows": 8} | training
    return tiny_arm(files, encodings=["rope", "hope"], seeds={"per_encoding": {"rope": 2, "hope": 3}}, training=over)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_is_planned(preset: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["plan", "--configfile", str(preset)]) == 0
    plans = capsys.readouterr().out.split("\n\n\n")
    study = config.load_study([ROOT / "config.yaml", preset])
    for (name, arm), text in zip(study.arms.items(), plans, strict=True):
        lines = text.splitlines()
        assert lines[0].startswith(f"{study.study}, arm {name}: {len(arm.runs())} models (")
        stages = [line.split() for line in lines if line.startswith(("  0", "  1", "  2", "  3"))]
        assert [stage[0] for stage in stages] == ["0", "1", "2", "3"]
        assert [stage[0] for stage in stages if "*" in stage] == [str(arm.training.zero_stage)]
        for stage in stages:
            *parts, total = [float(word.replace(",", "")) for word in stage[1:] if word[0].isdigit()]
            assert sum(parts) == pytest.approx(total, abs=0.04)


def test_the_preparation_of_the_text_follows_from_its_size(tiny_files: Path) -> None:
    hub = {"source": "hub", "hub": {"dataset": "a/b", "revision": "0" * 40, "documents": 10_000_000}, "shards": 50}
    arm = tiny_arm(tiny_files, corpus=hub)
    text = estimate_plan("a study", arm, PlanOptions()).preparation
    assert text is not None and (text.documents, text.jobs) == (1e7, 50)
    assert text.text == pytest.approx(43e9, rel=0.1) and text.memory > 2e9
    # Of a mixture, each source has as many shards; a single one has no job of its own.
    mixture = {"source": "mixture", "mixture": {name: {"source": "files", "files": {"paths": ["a"]}} for name in "abc"}}
    for shards, jobs in ((1, 1), (2, 6)):
        mixed = estimate_plan("a study", tiny_arm(tiny_files, corpus=mixture | {"shards": shards}), PlanOptions())
        assert mixed.preparation is not None and mixed.preparation.jobs == jobs
    few = estimate_plan("a study", tiny_arm(tiny_files), PlanOptions()).preparation
    assert few is not None and few.memory == 2e9
    assert few.text == sum(path.stat().st_size for path in tiny_files.iterdir())
    away = tiny_arm(tiny_files, corpus={"files": {"paths": ["not/here/yet"]}})
    assert estimate_plan("a study", away, PlanOptions()).preparation.text == away.training.tokens * 4.3  # type: ignore[union-attr]
    assert "processor hours to prepare" in plan_text(arm, estimate_plan("a study", arm, PlanOptions()))


def test_the_plan_as_json(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["plan", "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    assert {name: plan["title"] for name, plan in plans.items()} == {
        name: f"default, arm {name}" for name in ("text", "retrieval")
    }


def test_the_config_and_the_plan_need_no_numerical_library() -> None:
    code = (
        "import sys, hope.paths; from hope.cli import main; status = main(['plan']);"
        "heavy = {'numpy', 'torch', 'pandas', 'mlflow', 'transformers', 'snakemake', 'deepspeed'};"
        "print(sorted(heavy & set(sys.modules)), status)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr


def test_hours_by_hand(tiny_files: Path) -> None:
    described = arm_of(tiny_files)
    found = estimate_plan("tiny", described, PlanOptions(devices=4, gpu="h100", utilisation=0.5))
    (row,) = found.hours
    # Two trainings at once on two devices each: five take three rounds.
    assert (found.at_once, row.device) == (2, "H100")
    assert row.training == pytest.approx(found.flops["computed"] / (2 * 989e12 * 0.5) / 3600)
    assert row.trainings == pytest.approx(3 * row.training)
    assert row.measuring == pytest.approx(found.flops_measuring / (4 * 67e12 * 0.5) / 3600)
    assert row.share == pytest.approx(found.memory[described.training.zero_stage].total / 80e9)
    measured = estimate_plan("tiny", described, PlanOptions(tokens_per_second=1000.0)).hours[0]
    assert measured.training == pytest.approx(described.training.steps * 8 * described.training.length / 3600e3)
    assert (measured.trainings / measured.training, measured.measuring) == (5.0, None)


def test_a_device_of_ones_own_and_one_that_is_too_small(tiny_files: Path) -> None:
    described = arm_of(tiny_files)
    held = estimate_plan("tiny", described, PlanOptions()).memory[0].total / 2**30
    for memory, fits in ((held / 0.89, True), (held / 0.91, False)):
        plan = estimate_plan("tiny", described, PlanOptions(flops=100.0, memory=memory))
        assert plan.hours[0].fits is fits
        assert ("too much" in plan_text(described, plan)) is not fits


def test_what_is_not_counted_is_named(tiny_files: Path) -> None:
    described = tiny_arm(tiny_files, encodings=["rope", "hope", "alibi", "pope", "none"])
    (note,) = estimate_plan("tiny", described, PlanOptions()).notes
    assert note.startswith("alibi, pope: memory and time beyond this estimate")
    assert estimate_plan("tiny", arm_of(tiny_files), PlanOptions()).notes == []
    own = {
        "encodings": ["rope", "alibi", "mine"],
        "definitions": {"mine": {"family": "examples.my_encoding:MyEncoding"}},
    }
    of_own, of_built_in = estimate_plan("tiny", tiny_arm(tiny_files, **own), PlanOptions()).notes
    assert of_own.startswith("mine: parameters of the encoding") and "memory and time beyond this estimate" in of_own
    assert of_built_in.startswith("alibi: memory and time beyond this estimate")


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"gpu": "H10"}, "--gpu: 'H10' is not known (did you mean 'H100'?)"),
        ({"gpu": "H100", "flops": 5.0}, "--gpu and --flops exclude each other"),
        ({"flops": 5.0, "tokens_per_second": 5.0}, "--flops and --tokens-per-second exclude each other"),
        ({"cpu": True, "gpu": "H100"}, "--cpu and --gpu exclude each other"),
        ({"memory": 5.0}, "--memory goes with --flops"),
        ({"flops": 5.0, "utilisation": 40.0}, "--utilisation: 40 is above 1"),
        ({"devices": 1}, "a training of this study takes 2 devices"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(asked: dict[str, Any], line: str, tiny_files: Path) -> None:
    with pytest.raises(UserError) as raised:
        estimate_plan("tiny", arm_of(tiny_files), PlanOptions(**asked))
    assert line in str(raised.value)
