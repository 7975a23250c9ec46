"""How far a study's trainings are: every state, read from the files that trainings leave."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from hope import config
from hope.files import exclusive_lock, lock_holder, write_json
from hope.paths import SNAPSHOTS, StudyPaths
from hope.training.failures import circumstances, failure_note, note_failure
from hope.training.fingerprint import fingerprint, run_name
from hope.training.heartbeat import Heartbeat, heartbeat_file, last_heartbeat
from hope.training.status import Progress, progress_table, study_progress, study_status
from tests.conftest import ROOT, tiny_study
from tests.training.conftest import Preloaded, until, with_training

DIGEST = "of the data"
BEAT = {
    "step": 30,
    "steps": 120,
    "loss": 5.25,
    "tokens_per_second": 1234.5,
    "seconds_left": 100.0,
    "process": os.getpid(),
    "host": socket.gethostname(),
}


@pytest.fixture
def study(tiny_files: Path) -> config.Study:
    return tiny_study(tiny_files, encodings=["rope", "hope"], seeds={"per_encoding": {"hope": 2}})


@pytest.fixture
def paths(study: config.Study, tmp_path: Path) -> StudyPaths:
    """Return the paths of a study whose data are there and whose models are not."""
    found = StudyPaths(tmp_path)
    write_json(data_of(study, found) / "train" / "manifest.json", {"digest": DIGEST})
    return found


def data_of(study: config.Study, paths: StudyPaths) -> Path:
    return paths.data(study.arms[config.MAIN].data_key)


def with_settings(study: config.Study, **over: object) -> config.Study:
    """Return ``study`` with other settings of the training."""
    arm = study.arms[config.MAIN]
    training = arm.training.model_copy(update=over)
    return study.model_copy(update={"arms": {config.MAIN: arm.model_copy(update={"training": training})}})


def name_of(study: config.Study, encoding: str, seed: int) -> str:
    stage = study.arms[config.MAIN].train_stage(encoding, seed)
    return run_name(stage, fingerprint(stage, DIGEST))


def beat(paths: StudyPaths, name: str, age: float, **over: object) -> None:
    now = time.time()
    write_json(
        heartbeat_file(paths.checkpoints / name), {**BEAT, "time": now - age, "silent_after": now - age + 60, **over}
    )


def states(study: config.Study, paths: StudyPaths) -> list[str]:
    return [one.state for one in study_progress(study, paths.root)]


def test_without_data_all_are_waiting(study, tmp_path):
    assert states(study, StudyPaths(tmp_path)) == ["waiting"] * 3


def test_a_lock_says_training_or_silent_and_none_says_stopped(study, paths):
    assert states(study, paths) == ["waiting"] * 3
    name = name_of(study, "hope", 0)
    lock = paths.checkpoints / f"{name}.lock"
    with exclusive_lock(lock, wait=False):
        assert states(study, paths) == ["waiting", "starting", "waiting"]
        beat(paths, name, age=10)
        training = study_progress(study, paths.root)[1]
        assert training == Progress(
            "main/hope/seed0", "training", 0.25, 5.25, 1234.5, 100.0, f"process {os.getpid()} on {socket.gethostname()}"
        )
        beat(paths, name, age=200)
        silent = study_progress(study, paths.root)[1]
        assert (silent.state, silent.share, silent.seconds_left) == ("silent", 0.25, None)
        assert silent.remark == f"no sign of life for 3.3 min from process {os.getpid()} on {socket.gethostname()}"
        assert lock_holder(lock) == f"process {os.getpid()} on {socket.gethostname()}"
    assert lock_holder(lock) is None
    for age in (10, 200):
        beat(paths, name, age=age)
        stopped = study_progress(study, paths.root)[1]
        assert (stopped.state, stopped.share, stopped.tokens_per_second) == ("stopped", 0.25, None)


def test_a_resumed_training_is_not_judged_by_the_heartbeat_of_the_process_before(study, paths):
    name = name_of(study, "hope", 0)
    with exclusive_lock(paths.checkpoints / f"{name}.lock", wait=False):
        for other in ({"process": os.getpid() + 1}, {"host": "elsewhere"}):
            beat(paths, name, age=18_000, **other)
            found = study_progress(study, paths.root)[1]
            assert found == Progress(
                "main/hope/seed0", "starting", remark=f"process {os.getpid()} on {socket.gethostname()}"
            )
        beat(paths, name, age=18_000)
        assert states(study, paths)[1] == "silent"


def test_two_that_ask_never_see_each_other_nor_stop_a_training(paths):
    paths.checkpoints.mkdir()
    lock = paths.checkpoints / "some.lock"
    with exclusive_lock(lock, wait=False):
        pass
    assert lock_holder(lock) is None and lock_holder(lock) is None
    with exclusive_lock(lock, wait=False):
        assert lock_holder(lock) is not None


def test_a_noted_failure_is_shown_with_its_line_while_it_holds(study, paths):
    name = name_of(study, "rope", 0)
    note = failure_note(paths.checkpoints, name)
    note_failure(note, "the loss is no number", circumstances(study.arms[config.MAIN].training, data_of(study, paths)))
    beat(paths, name, age=10)
    failed = study_progress(study, paths.root)[0]
    assert (failed.state, failed.share, failed.remark) == ("failed", 0.25, "the loss is no number")
    note_failure(note, "the loss is no number", "under other circumstances")
    assert states(study, paths)[0] == "stopped"


def test_a_model_is_done_once_its_record_is_there(study, paths, undisturbed, tiny_data):
    digest = json.loads((tiny_data / "train" / "manifest.json").read_text())["digest"]
    write_json(data_of(study, paths) / "train" / "manifest.json", {"digest": digest})
    model = paths.run(config.MAIN, "hope", 1).model
    shutil.copytree(undisturbed / "model", model)
    done = study_progress(study, paths.root)[2]
    assert (done.state, done.share, done.remark) == ("done", 1.0, "")
    assert done.loss is not None and 10 < done.loss < 14
    changed = with_settings(study, learning_rate=0.5)
    assert study_progress(changed, paths.root)[2].remark == "with other settings or data than now"
    other_pace = with_settings(study, log_steps=1)
    assert study_progress(other_pace, paths.root)[2].remark == ""
    min((model / SNAPSHOTS).iterdir()).unlink()
    assert (
        study_progress(study, paths.root)[2].remark == "without 1 of its snapshots: it will be trained again for them"
    )


def test_the_table_has_a_line_a_model_and_a_sum():
    lines = progress_table(
        [
            Progress("rope/seed0", "done", 1.0, 4.5),
            Progress("hope/seed10", "training", 0.254, 5.25, 12345.6, 4000.0, "process 7 on here"),
            Progress("none/seed0", "waiting"),
        ]
    ).splitlines()
    assert lines == [
        "model        state     done   loss  tokens/s      left",
        "rope/seed0   done      100%  4.500",
        "hope/seed10  training   25%  5.250    12,346  66.7 min  process 7 on here",
        "none/seed0   waiting",
        "3 models: 1 done, 1 training, 1 waiting",
    ]


def test_a_running_training_is_seen_and_a_stopped_one_is_shown_to_have_stopped(
    preloaded: Preloaded, stage, tiny_data, tmp_path, study
):
    long = with_training(stage, tokens=256 * 20_000)
    study = with_settings(study, tokens=256 * 20_000)
    paths = StudyPaths(tmp_path)
    data = data_of(study, paths)
    data.parent.mkdir()
    data.symlink_to(tiny_data)
    run = preloaded.train(long, data, tmp_path)
    until(lambda: states(study, paths)[2] == "training")
    assert study_progress(study, tmp_path)[2].remark == f"process {run.process} on {socket.gethostname()}"
    run.send(signal.SIGSTOP)
    folder = paths.checkpoints / run_name(
        long, fingerprint(long, json.loads((tiny_data / "train" / "manifest.json").read_text())["digest"])
    )
    late = last_heartbeat(folder)
    assert late is not None and late["step"] == 0 and late["steps"] == 20_000
    write_json(heartbeat_file(folder), late | {"silent_after": time.time() - 1})
    assert states(study, paths)[2] == "silent"
    run.send(signal.SIGCONT)
    run.send(signal.SIGTERM)
    run.wait()
    assert states(study, paths)[2] == "stopped"


def test_a_heartbeat_comes_every_few_seconds_and_at_the_end(stage, tmp_path, monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    settings = stage.training.model_copy(update={"tokens": 256 * 100})
    beat = Heartbeat(settings, tmp_path, 40)
    shown = []
    for done in range(41, 101):
        now[0] += 0.5
        beat(done, {"loss": 5.0 + done, "tokens_per_second": 512.0} if done >= 60 else None)
        found = last_heartbeat(tmp_path)
        assert found is not None
        shown.append(found["step"])
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1]) for line in lines] == [50, 60, 70, 80, 90, 100]
    # 10 steps of 256 tokens in 5 seconds, 50 steps left; then what the loss curve says.
    assert lines[0] == "step 50 of 100 (50%)  loss -  512 tokens/s  25 s left"
    assert lines[-1] == "step 100 of 100 (100%)  loss 105.000  512 tokens/s  0 s left"
    assert sorted(set(shown)) == [40, 50, 60, 70, 80, 90, 100]


def test_slow_steps_are_given_longer_before_they_count_as_silent(stage, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "time", lambda: now[0])
    beat = Heartbeat(stage.training, tmp_path, 0)
    for done, seconds, allowed in [(1, 6, 60), (2, 100, 500), (3, 6, 500)]:
        now[0] += seconds
        beat(done, None)
        found = last_heartbeat(tmp_path)
        assert found is not None and found["silent_after"] - now[0] == allowed


def test_a_full_disk_does_not_end_a_training_by_its_heartbeat(stage, tmp_path, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("hope.training.heartbeat.write_json", full)
    Heartbeat(stage.training, tmp_path, 0)(stage.training.steps, None)


def test_the_command_answers_for_a_name_a_folder_and_a_config_without_numerical_libraries(
    study, paths, tmp_path, monkeypatch
):
    root = tmp_path / "results" / "tiny"
    root.mkdir(parents=True)
    (root / "study.json").write_text(config.to_json(study), encoding="utf-8")
    content = study.model_dump(mode="json", by_alias=True)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (tmp_path / "overlay.yaml").write_text("study: tiny\n", encoding="utf-8")
    write_json(data_of(study, StudyPaths(root)) / "train" / "manifest.json", {"digest": DIGEST})
    beat(StudyPaths(root), name_of(study, "hope", 0), age=10)
    expected = "3 models: 1 stopped, 2 waiting"
    monkeypatch.chdir(tmp_path)
    overlay = Path("overlay.yaml")
    for name in (None, Path("tiny"), root):
        for files in ([], [overlay]):
            assert study_status(name, files).splitlines()[-1] == expected, (name, files)
    (root / "study.json").rename(tmp_path / "study.json")
    # A study that has just begun: its config says what it is.
    assert study_status(Path("tiny"), [overlay]).splitlines()[-1] == expected
    (tmp_path / "study.json").rename(root / "study.json")
    code = (
        "import sys; from hope.cli import main; status = main(['status', 'tiny']);"
        "print([name for name in ('torch', 'numpy', 'deepspeed', 'pandas', 'mlflow') if name in sys.modules], status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-2:] == [expected, "[] 0"], done.stderr
