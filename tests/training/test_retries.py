"""What the workflow's retries meet: a failure that would come again, and one that would not."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hope import config
from hope.config import MAIN, merge, parse_study
from hope.files import read_json
from hope.paths import StudyPaths
from hope.training.failures import circumstances, failure_note, lasting, note_failure, noted_failure
from tests.conftest import ROOT, TINY
from tests.training.conftest import Preloaded, kill, same, until, weights, with_training

HOPELESS = {"learning_rate": 1e30, "clip": 1e30, "warmup_steps": 0}


@pytest.fixture
def hopeless(stage: config.TrainStage) -> config.TrainStage:
    return with_training(stage, **HOPELESS)


def notes(folder: Path) -> list[Path]:
    return list((folder / "checkpoints").glob("*.failed.json"))


def test_a_retry_ends_at_once_with_the_same_line_and_says_what_lets_it_be_tried_again(
    preloaded: Preloaded, hopeless, tiny_data, tmp_path
):
    first = preloaded.train(hopeless, tiny_data, tmp_path)
    assert first.wait() == 1
    (note,) = notes(tmp_path)
    assert re.search(
        r"no number at step 2 \(batch 1 of seed 1\); lower training.learning_rate or raise training.warmup_steps "
        rf"\(it is not tried again before config, code or data change, or {note} is deleted\)$",
        first.errors[0],
    )
    # It would show a sign of life in the folder as soon as it trained.
    shutil.rmtree(note.parent / note.name.removesuffix(".failed.json"))
    again = preloaded.train(hopeless, tiny_data, tmp_path)
    assert again.wait() == 1
    assert again.errors == first.errors
    assert not list((tmp_path / "checkpoints").glob("*/"))
    note.unlink()
    third = preloaded.train(hopeless, tiny_data, tmp_path)
    assert third.wait() == 1
    assert third.errors == first.errors and list((tmp_path / "checkpoints").glob("*/heartbeat.json"))


def test_a_changed_config_or_other_data_are_tried(preloaded: Preloaded, stage, hopeless, tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    assert preloaded.train(hopeless, tmp_path / "data", tmp_path).wait() == 1
    preloaded.trained(stage, tmp_path / "data", tmp_path)
    shutil.rmtree(tmp_path / "model")
    (note,) = notes(tmp_path)
    folder = note.parent / note.name.removesuffix(".failed.json")
    shutil.rmtree(folder)
    # The same bytes, written anew: as after data were mended.
    for path in (tmp_path / "data" / "train").iterdir():
        path.write_bytes(path.read_bytes())
    assert preloaded.train(hopeless, tmp_path / "data", tmp_path).wait() == 1
    assert folder.exists(), "it was not tried"


def test_damaged_data_that_were_mended_are_tried(preloaded: Preloaded, stage, tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "data")
    shard = next((tmp_path / "data" / "train").glob("shard-*.bin"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert preloaded.train(stage, tmp_path / "data", tmp_path).wait() == 1
    assert notes(tmp_path)
    shard.write_bytes(content)
    preloaded.trained(stage, tmp_path / "data", tmp_path)
    assert not notes(tmp_path), "what is done has not failed"


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_what_ends_by_a_signal_is_not_noted(how, preloaded: Preloaded, stage, tiny_data, tmp_path):
    run = preloaded.train(with_training(stage, tokens=256 * 20_000), tiny_data, tmp_path)
    until(lambda: list((tmp_path / "checkpoints").glob("*/heartbeat.json")))
    if how == "SIGKILL":
        kill(run)
    else:
        run.send(signal.SIGTERM)
        assert run.wait() == 128 + signal.SIGTERM
    assert not notes(tmp_path)


def test_a_note_holds_under_its_circumstances_only(stage, tmp_path, monkeypatch):
    def now(settings: config.Training = stage.training) -> str:
        return circumstances(settings, tmp_path)

    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "manifest.json").write_text("{}")
    note, digest = failure_note(tmp_path, "hope-seed1-abc"), now()
    assert noted_failure(note) is None
    note_failure(note, lasting("broken", note), digest)
    assert noted_failure(note, now()) == noted_failure(note) == lasting("broken", note)
    for name in ("code_digest", "environment_digest"):
        with monkeypatch.context() as changed:
            changed.setattr(f"hope.training.failures.{name}", lambda *arguments: "another")
            assert noted_failure(note, now()) is None
    for over in ({"spike_factor": 3.0}, {"bad_steps": 51}):
        assert noted_failure(note, now(stage.training.model_copy(update=over))) is None
    assert noted_failure(note, now(stage.training.model_copy(update={"log_steps": 7}))) is not None
    note.write_text("{")
    assert noted_failure(note, digest) is None


def test_a_loss_that_stays_up_ends_the_training_with_the_last_good_checkpoint_kept(
    preloaded: Preloaded, stage, tiny_data, tmp_path
):
    # So fast that the loss wanders: two steps in a row above the median soon come.
    fast = with_training(stage, tokens=256 * 80, learning_rate=1.0, warmup_steps=100, checkpoint_seconds=0.0)
    nervous = with_training(fast, spike_factor=1.0001, bad_steps=2)
    run = preloaded.train(nervous, tiny_data, tmp_path)
    assert run.wait() == 1
    (line,) = run.errors
    found = re.search(r"at step (\d+) \(batch (\d+) of seed 1\) and has been above 1.0001 times its usual", line)
    assert found and int(found[2]) == int(found[1]) - 1
    assert "training.spike_factor or training.bad_steps" in line
    last = int(found[1])
    kept = sorted(int(path.name.removeprefix("step-")) for path in tmp_path.glob("checkpoints/*/step-*"))
    assert len(kept) == 2 and kept[-1] == last - 2, "none was written while the loss was up"
    # As the line says: then it is tried again, and goes on from there.
    patient = with_training(nervous, bad_steps=1000)
    again = preloaded.trained(patient, tiny_data, tmp_path)
    assert f"resumed at step {last - 2} of 80" in again.output
    preloaded.trained(with_training(patient, checkpoint_seconds=1e9), tiny_data, tmp_path / "whole")
    assert same(weights(tmp_path), weights(tmp_path / "whole"))


WILD = """
from hope.encodings.base import Encoding


class Wild(Encoding):
    def embed(self, embeddings, positions):
        return embeddings * float("nan")
"""


@pytest.mark.slow
def test_the_rule_retries_what_was_stopped_and_no_hopeless_training(
    tiny_files: Path, tiny_data: Path, tmp_path: Path
) -> None:
    for name in ("Snakefile", "config.yaml", "hope", "workflow", "profiles", "envs", "notebooks"):
        (tmp_path / name).symlink_to(ROOT / name)
    study = merge(
        TINY,
        {
            "encodings": ["rope", "wild"],
            "definitions": {"wild": {"family": "wild:Wild"}},
            "corpus": {"files": {"paths": [str(tiny_files)]}},
            "training": {"tokens": 256 * 300, "checkpoint_seconds": 1e9},
            "tracking": {"live": False},
            "complete": True,
        },
    )
    (tmp_path / "tiny.yaml").write_text(json.dumps(study), encoding="utf-8")
    (tmp_path / "wild.py").write_text(WILD, encoding="utf-8")
    paths = StudyPaths(tmp_path / "results" / "tiny")
    shutil.copytree(tiny_data, paths.data(parse_study(study, "tiny").arms[MAIN].data_key))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", "--keep-going"]
    environment = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    checkpoints = paths.checkpoints

    first = subprocess.Popen(
        [*command, "--until", "train_main"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: list(checkpoints.glob("rope-seed0-*/heartbeat.json")), 120)
    trainer = read_json(next(checkpoints.glob("rope-seed0-*/heartbeat.json")))["process"]
    os.kill(trainer, signal.SIGTERM)
    output, _ = first.communicate(timeout=300)
    assert first.returncode == 1
    lines = [line for line in output.splitlines() if line.startswith("hope: error: ")]
    # Once a try, to the letter, and none of the one that was stopped.
    assert len(lines) == 3 and len(set(lines)) == 1, output
    assert "wild, seed 0: the loss is no number at step 1 (batch 0 of seed 0)" in lines[0]
    assert (paths.run(MAIN, "rope", 0).model / "model.safetensors").exists()
    log = (paths.logs / "train_model" / "main" / "rope-seed0.log").read_text(encoding="utf-8")
    assert "resumed at step" in log
