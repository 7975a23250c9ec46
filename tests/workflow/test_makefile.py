"""The setup: one clear line where it cannot be, and made anew where it was interrupted."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Stands in for an interpreter, its venv and its pip: what it was asked goes to calls.txt.
PYTHON = """#!/bin/sh
[ "$1" = --version ] && echo "Python 3.9.2" && exit
echo "$0 $*" >> "$CALLS"
case "$*" in
    -c*) exit ${TOO_OLD:-0} ;;
    "-m venv --clear .venv") rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    "-m pip"*) exit ${BROKEN:-0} ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "CALLS": str(folder / "calls.txt")} | variables
    command = ["make", "PYTHON=./python", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def calls(folder: Path) -> list[str]:
    """Return what was asked since the last look."""
    path = folder / "calls.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line for line in lines if "venv --clear" in line or "pip" in line]


def test_setup_installs_once(folder: Path) -> None:
    assert make(folder, "setup").returncode == 0
    made, installed = calls(folder)
    assert made == "./python -m venv --clear .venv"
    assert installed.startswith(".venv/bin/python -m pip install ") and "requirements.lock" in installed
    assert make(folder, "setup").returncode == 0
    assert calls(folder) == []


def test_another_interpreter_than_that_of_the_environment_is_refused(folder: Path) -> None:
    make(folder, "setup")
    other = folder / "other"
    other.write_text("#!/bin/sh\necho Python 3.12.1\n")
    other.chmod(0o755)
    asked = make(folder, "setup", "PYTHON=./other")
    assert asked.returncode != 0
    assert asked.stderr.splitlines()[0] == ".venv has Python 3.9.2, not Python 3.12.1; delete .venv first"


def test_an_interrupted_install_is_made_anew(folder: Path) -> None:
    assert make(folder, "setup", BROKEN="1").returncode != 0
    assert len(calls(folder)) == 2
    assert make(folder, "setup").returncode == 0
    assert len(calls(folder)) == 2


def test_a_new_lock_is_installed_into_what_is_there(folder: Path) -> None:
    make(folder, "setup")
    calls(folder)
    later = (folder / ".venv" / "installed").stat().st_mtime + 10
    os.utime(folder / "requirements.lock", (later, later))
    assert make(folder, "setup").returncode == 0
    (installed,) = calls(folder)
    assert "pip install" in installed


def test_an_interpreter_too_old_or_missing_is_one_line(folder: Path) -> None:
    old = make(folder, "setup", TOO_OLD="1")
    assert old.returncode != 0
    assert (
        old.stderr.splitlines()[0]
        == "./python is Python 3.9.2; Python 3.11 to 3.13 is needed: make PYTHON=/path/to/python3"
    )
    missing = make(folder, "setup", "PYTHON=no-such-python")
    assert missing.returncode != 0
    assert missing.stderr.splitlines()[0].startswith("no-such-python: not found; install Python 3.11 to 3.13")
    assert not (folder / ".venv").exists()


def test_reproduce_takes_a_config(folder: Path) -> None:
    make(folder, "setup")
    assert make(folder, "reproduce", "CONFIG=mine.yaml", "CORES=1").returncode == 0
    last = (folder / "calls.txt").read_text(encoding="utf-8").splitlines()[-1]
    assert last == ".venv/bin/python -m hope reproduce --cores 1 --configfile mine.yaml"


ODD = """it's $(touch bad) `touch bad` "x" $HOME #;&.yaml"""
ARGUMENTS = """#!/bin/sh
[ "$1" = --version ] && echo "Python 3.9.2" && exit
for each in "$@"; do echo "<$each>" >> "$CALLS"; done
"""


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("my study.yaml", ["my study.yaml"]),
        (ODD, [ODD]),
        ("one.yaml two.yaml", ["one.yaml", "two.yaml"]),
        ("", []),
    ],
)
def test_a_config_may_have_any_name(folder: Path, name: str, files: list[str]) -> None:
    make(folder, "setup")
    (folder / "calls.txt").unlink()
    (folder / ".venv" / "bin" / "python").write_text(ARGUMENTS, encoding="utf-8")
    for file in files:
        (folder / file).touch()
    assert make(folder, "reproduce", f"CONFIG={name}").returncode == 0
    given = ["-m", "hope", "reproduce", "--cores", "all", *(["--configfile", *files] if files else [])]
    assert (folder / "calls.txt").read_text(encoding="utf-8").splitlines() == [f"<{each}>" for each in given]
    assert not (folder / "bad").exists()
    (folder / "calls.txt").unlink()
    assert make(folder, "ui", "STUDY=a b").returncode == 0
    assert (folder / "calls.txt").read_text(encoding="utf-8").splitlines()[-1] == "<a b>"
