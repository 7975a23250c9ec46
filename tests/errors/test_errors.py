"""Each kind of bad input is one line with the remedy, and leaves what is there as it is."""

import sys
from pathlib import Path

import pytest

from hope.cli import main
from tests.conftest import ROOT
from tests.errors.kinds import KINDS, Kind, page

ALL = [(topic, kind) for topic, kinds in KINDS.items() for kind in kinds]


@pytest.mark.parametrize(("topic", "kind"), ALL, ids=[f"{topic}: {kind.given}" for topic, kind in ALL])
def test_a_kind_of_bad_input_is_one_line_and_loses_nothing(
    topic: str, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kind.prepare(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    try:
        status: object = main(kind.command)
    except SystemExit as ended:
        status = ended.code
    assert capsys.readouterr().err.replace(str(tmp_path), ".") == f"hope: error: {kind.line}\n"
    assert status == kind.status
    assert {path: path.read_bytes() for path in before} == before
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_the_table_in_the_docs_is_of_these_kinds() -> None:
    assert len(ALL) >= 60
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == page()
