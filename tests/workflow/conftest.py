"""Projects in which nothing was run, and in which all was."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.workflow.project import Project, make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of which nothing was run."""
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose study is complete; for copying only."""
    finished = make_project(tmp_path_factory.mktemp("finished"))
    done = finished.snakemake()
    assert done.returncode == 0, done.stdout
    return finished


@pytest.fixture
def finished(finished_once: Project, tmp_path: Path) -> Project:
    """A project whose study is complete."""
    shutil.copytree(finished_once.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


CONDA = """#!/bin/sh
# Answers as conda does, and makes environments out of the interpreter that runs the tests.
case "$1 $2" in
    "info --json") echo '{"conda_prefix": "PREFIX", "platform": "linux-64", "conda_version": "25.3.0"}' ;;
    "config "*) echo '{"get": {"channel_priority": "strict"}}' ;;
    "--version "*) echo "conda 25.3.0" ;;
    "env create")
        while [ "$1" != "--prefix" ]; do shift; done
        mkdir -p "$2/bin" && ln -s "PYTHON" "$2/bin/python" ;;
esac
"""


@pytest.fixture
def conda(tmp_path: Path) -> Path:
    """A folder with a stand-in for conda; the real one needs a network."""
    prefix = tmp_path / "conda"
    (prefix / "bin").mkdir(parents=True)
    command = prefix / "bin" / "conda"
    command.write_text(CONDA.replace("PREFIX", str(prefix)).replace("PYTHON", sys.executable), encoding="utf-8")
    command.chmod(0o755)
    (prefix / "bin" / "activate").write_text('PATH="$1/bin:$PATH"\n', encoding="utf-8")
    return prefix / "bin"
