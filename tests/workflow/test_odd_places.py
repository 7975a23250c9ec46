"""The project in a folder with an odd name, and under an environment that is not ours."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from hope.cli import main
from hope.config import load_study
from hope.data.sources.files import find_files
from hope.errors import UserError
from hope.reproduce import LAUNCHER
from hope.study_files import check_study
from hope.tracking.address import plain_path, sqlite_address
from hope.tracking.client import connect
from tests.conftest import ROOT
from tests.workflow.project import Project, make_project

ODD = "a ?b=c&d %41 #e 'f' \"g\" \n$HOME `id` [h]* ;\\ é漢😀 " + "long" * 40


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd") / ODD
    folder.mkdir()
    return folder


def test_the_tracking_store_lies_in_its_study_and_opens_by_that_path_alone(odd: Path) -> None:
    study = odd / "results" / "tiny"
    study.mkdir(parents=True)
    tracker = connect(study, None)
    assert (study / "mlflow" / "mlflow.db").is_file()
    assert [path.name for path in odd.parent.iterdir()] == [ODD], "nothing lies beside the project"
    assert connect(study, None).experiment == tracker.experiment


def test_a_plain_folder_keeps_its_path(tmp_path: Path, odd: Path) -> None:
    assert plain_path(tmp_path) == tmp_path
    assert sqlite_address(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    assert plain_path(odd).resolve() == odd and "?" not in str(plain_path(odd))


@pytest.mark.slow
def test_the_ui_opens_in_an_odd_place(odd: Path) -> None:
    study = odd / "results" / "seen"
    (study / "models").mkdir(parents=True)
    connect(study, None)
    code = f"from hope.tracking.server import serve; serve({str(study)!r}, 0)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        text = ""
        while "MLflow UI:" not in text:
            assert (line := process.stdout.readline()), text
            text += line
        url = text.split("MLflow UI:")[1].split()[0]
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def test_a_glob_is_read_from_an_odd_place(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (odd / "texts").mkdir()
    for name in ("one.txt", "two.txt"):
        (odd / "texts" / name).write_text("text", encoding="utf-8")
    monkeypatch.chdir(odd)
    files, _ = find_files(["texts/*.txt", "../*/texts/one.txt"])
    assert [name for _, name in files] == ["texts/one.txt", "texts/two.txt"]


@pytest.fixture
def odd_project(tmp_path: Path) -> Project:
    root = tmp_path / ODD
    root.mkdir()
    return make_project(root)


def test_a_study_runs_in_an_odd_place_without_a_home(odd_project: Project) -> None:
    done = odd_project.snakemake("--until", "train_text", HOME="/proc/none", XDG_CACHE_HOME="/proc/none")
    assert done.returncode == 0, done.stdout
    assert len([step for step, _ in odd_project.calls() if step == "train"]) == 3
    assert [path.name for path in odd_project.root.parent.iterdir()] == [ODD]


def test_a_study_is_told_nothing_by_what_a_launcher_left_behind() -> None:
    left = ["RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"]
    assert all(LAUNCHER.fullmatch(name) for name in [*left, "TORCHELASTIC_RUN_ID", "CROSS_RANK", "CROSS_SIZE"])
    assert not any(LAUNCHER.fullmatch(name) for name in ("PATH", "HOME", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"))


def test_braces_in_the_path_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a {b}").mkdir()
    study = load_study([ROOT / "config.yaml"])
    renamed = study.model_copy(update={"claims": "my {x}.yaml"})
    with pytest.raises(
        UserError, match=r"my \{x\}.yaml: Snakemake reads braces in a path as wildcards; rename the file"
    ):
        check_study(renamed)
    monkeypatch.chdir(tmp_path / "a {b}")
    with pytest.raises(UserError, match="Snakemake reads braces in a path as wildcards; move the project"):
        check_study(study)


def test_a_terminal_without_utf8_shows_what_it_can(tmp_path: Path) -> None:
    name = tmp_path / "é\udcff.yaml"
    variables = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    command = [sys.executable, "-m", "hope", "check", "--configfile", name]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(b"hope: error: ") and b"there is no such config file" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_files_get_the_mode_that_the_umask_gives(tmp_path: Path, umask: int, mode: int) -> None:
    from hope.files import write_json

    before = os.umask(umask)
    try:
        write_json(tmp_path / "x.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("variables", [{}, {"RANK": "a", "WORLD_SIZE": "1"}, {"RANK": "1", "WORLD_SIZE": "1"}])
def test_what_a_launcher_left_behind_is_one_line(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    from hope.training.launch import _place_among_processes

    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "old")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="unset them, or start with torchrun"):
        _place_among_processes()


def test_an_empty_overlay_is_refused_before_snakemake_sees_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing yet\n", encoding="utf-8")
    assert main(["check", "--configfile", str(path)]) == 1
    assert capsys.readouterr().err == (
        f"hope: error: {path}: there is nothing in it; write 'key: value' lines, or leave the file out\n"
    )
