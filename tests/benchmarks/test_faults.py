"""The library that strikes writes and the clock."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults import READ
from tests.conftest import ROOT
from tests.workflow.test_rules import RULES

WRITES = """
import os, sys
def fails(action):
    try: action()
    except OSError as error: return error.errno
    return 0
def write(path):
    with open(path, "wb") as file: file.write(b"x")
inside, outside = sys.argv[1:]
print(fails(lambda: write(inside + "/a")), fails(lambda: os.mkdir(inside + "/b")), fails(lambda: write(outside)))
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    source = ROOT / "benchmarks" / "faults.c"
    subprocess.run(["cc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def run(shim: Path, folder: Path, code: str, *arguments: Path) -> str:
    variables = {"FAULT_FOLDER": f"{folder}/results", "FAULT_FILE": f"{folder}/fault", "FAULT_CLOCK": f"{folder}/clock"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | variables | {"LD_PRELOAD": str(shim)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("number", [0, errno.ENOSPC, errno.EROFS, errno.EIO])
def test_writes_below_the_folder_alone_fail_while_the_file_is_there(shim: Path, tmp_path: Path, number: int) -> None:
    (tmp_path / "results").mkdir()
    if number:
        (tmp_path / "fault").write_text(str(number))
    said = run(shim, tmp_path, WRITES, tmp_path / "results", tmp_path / "outside")
    assert said.split() == [str(number), str(number), "0"]


def test_the_wall_clock_jumps_and_the_other_does_not(shim: Path, tmp_path: Path) -> None:
    code = "import time; print(time.time(), time.monotonic())"
    wall, steady = map(float, run(shim, tmp_path, code).split())
    (tmp_path / "clock").write_text("86400")
    later, after = map(float, run(shim, tmp_path, code).split())
    assert 86_400 <= later - wall < 86_460 and 0 <= after - steady < 60


def test_every_kind_of_file_names_a_rule_that_reads_it() -> None:
    assert {rule.replace("train_text", "train_arm") for rule in READ.values()} <= RULES.keys()
