"""The files whose change makes a study prepare its corpus or its tokens again."""

import os
from pathlib import Path

import pytest

from hope.config import Arm, load_study
from hope.errors import UserError
from hope.study_files import ArmFiles, _files_of, check_study, state_of
from tests.conftest import ROOT


def files_of(**settings: object) -> ArmFiles:
    return _files_of(Arm.model_validate({"encodings": ["rope"], **settings}))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(name)
    return folder


def test_a_local_tokenizer_and_a_local_dataset_are_watched(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (texts / "tokenizer.json").write_text("{}")
    for given in (texts, texts / "tokenizer.json"):
        files = files_of(tokens={"tokenizer": "pretrained", "pretrained": str(given)})
        assert files.tokenizer == [texts / "tokenizer.json"] and not files.corpus
    monkeypatch.setenv("HOME", str(texts.parent))
    files = files_of(corpus={"source": "hub", "hub": {"dataset": "~/texts", "revision": "0" * 40}})
    assert files.corpus == [texts / name for name in ("a.txt", "b.txt", "tokenizer.json")]
    assert files_of(tokens={"vocabulary": 500}).tokenizer == []


def test_every_source_of_a_mixture_is_watched(texts: Path) -> None:
    mixture = {name: {"source": "files", "files": {"paths": [str(texts / name)]}} for name in ("b.txt", "a.txt")}
    files = files_of(corpus={"source": "mixture", "mixture": mixture})
    assert files.corpus == [texts / "a.txt", texts / "b.txt"]


def test_a_config_that_no_command_line_takes_is_one_line(texts: Path) -> None:
    study = load_study(
        [ROOT / "config.yaml"], {"corpus": {"source": "files", "files": {"paths": [str(texts)] * 3_000}}}
    )
    with pytest.raises(UserError, match=r"^corpus\.files\.paths: the config has [^\n]* name folders or globs[^\n]*$"):
        check_study(study)


def test_any_change_of_a_text_is_noticed_and_a_touch_is_none(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = [
        Path(os.fsdecode(os.fsencode(texts) + b"/caf\xe9.txt")),
        texts / "with {braces}.txt",
        texts / "two\nlines.txt",
    ]
    for path in odd:
        path.write_text("odd")
    corpus = {"source": "files", "files": {"paths": [str(texts)]}}
    seen = {files_of(corpus=corpus).corpus_state}
    for path in [*odd, texts / "a.txt"]:
        path.write_text("different")
        os.utime(path, (1, 1))
        seen.add(files_of(corpus=corpus).corpus_state)
    assert len(seen) == 5 and "" not in seen
    (texts / "a.txt").touch()
    assert files_of(corpus=corpus).corpus_state in seen
    (texts / "a.txt").write_text("some other")
    assert files_of(corpus=corpus).corpus_state not in seen
    without = files_of()
    assert without.corpus_state == "" and without.tokenizer_state == without.tokens


def test_large_files_are_not_read(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [texts / "a.txt", texts / "b.txt"]
    monkeypatch.setattr("hope.study_files.COMPARED_BYTES", sum(path.stat().st_size for path in paths) - 1)
    seen = set()
    for time in (1, 2, 3):
        os.utime(texts / "a.txt", (time, time))
        seen.add(state_of(paths))
    with monkeypatch.context() as patch:
        patch.setattr("hope.study_files.sha256_of_file", None)
        seen.add(state_of(paths))
    assert len(seen) == 3
    (texts / "a.txt").unlink()
    assert state_of(paths) not in seen, "a file that vanishes is a change"
