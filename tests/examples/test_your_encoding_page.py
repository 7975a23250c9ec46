"""The page on one's own encoding shows the files, commands and output that are there."""

import re

import yaml

from hope.contract import CHECKS
from hope.contract.command import check_encoding
from tests.conftest import ROOT
from tests.contract.broken_encodings import Recounting

PAGE = (ROOT / "docs" / "your-encoding.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.e+-]*", "#", text)


def test_the_code_and_the_overlay_are_those_of_the_example():
    code = blocks("python")[0]
    assert code.startswith("class MyEncoding(Encoding):")
    assert (ROOT / "examples" / "my_encoding.py").read_text(encoding="utf-8").endswith(code)
    assert yaml.safe_load(blocks("yaml")[0]) == yaml.safe_load((ROOT / "examples" / "my_encoding.yaml").read_text())


def test_the_output_is_that_of_the_command(capsys):
    assert check_encoding("examples.my_encoding:MyEncoding", '{"free": 8}')
    shown = [line for line in blocks("text")[0].splitlines() if not line.startswith("ok      gpu")]
    found = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("ok      gpu")]
    assert [without_numbers(line) for line in found] == [without_numbers(line) for line in shown]


def test_the_failed_check_reads_as_shown(capsys):
    assert not check_encoding(f"{Recounting.__module__}:{Recounting.__name__}", "{}")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED  cache")]
    assert [without_numbers(line) for line in lines] == [without_numbers(blocks("text")[1].rstrip())]


def test_every_check_is_in_the_table():
    table = PAGE.split("| property |")[1].split("\n\n")[0]
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE) == list(CHECKS)


def test_the_test_of_one_s_own_runs_every_check():
    names: dict = {}
    exec(blocks("python")[1], names)
    (mark,) = names["test_my_encoding"].pytestmark
    checks = list(mark.args[1])
    assert mark.args[0] == "check" and checks == list(CHECKS.values())
    for check in checks:
        names["test_my_encoding"](check)


def test_linked_files_are_there():
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links and not [link for link in links if not (ROOT / "docs" / link).exists()]
