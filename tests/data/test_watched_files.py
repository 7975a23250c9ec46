"""The files whose change makes a study prepare its corpus or its tokens again."""

import os
from pathlib import Path

import pytest

from hope.config import Arm
from hope.study_files import ArmFiles, _files_of


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
    assert files.watched == [str(texts / name) for name in ("a.txt", "b.txt", "tokenizer.json")]
    assert files_of(tokens={"vocabulary": 500}).tokenizer == []


def test_every_source_of_a_mixture_is_watched(texts: Path) -> None:
    mixture = {name: {"source": "files", "files": {"paths": [str(texts / name)]}} for name in ("b.txt", "a.txt")}
    files = files_of(corpus={"source": "mixture", "mixture": mixture})
    assert files.watched == [str(texts / "a.txt"), str(texts / "b.txt")] and files.unwatched == ""


def test_names_that_snakemake_cannot_take_and_very_many_files_have_a_digest(
    texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = [
        Path(os.fsdecode(os.fsencode(texts) + b"/caf\xe9.txt")),
        texts / "with {braces}.txt",
        texts / "two\nlines.txt",
    ]
    for path in odd:
        path.write_text("odd")
    corpus = {"source": "files", "files": {"paths": [str(texts)]}}
    files = files_of(corpus=corpus)
    assert files.watched == [str(texts / "a.txt"), str(texts / "b.txt")]
    seen = {files.unwatched, files_of(corpus=corpus).unwatched}
    assert len(seen) == 1 and "" not in seen
    for path in odd:
        path.write_text("changed")
        seen.add(files_of(corpus=corpus).unwatched)
    assert len(seen) == 4
    (texts / "a.txt").write_text("changed, but watched")
    assert files_of(corpus=corpus).unwatched in seen
    many = ArmFiles([texts / "a.txt"] * 0 + [texts / f"{index}.txt" for index in range(10_001)], [], {}, [], [])
    assert many.watched == []
