"""A corpus prepared from files: what is dropped, cut, held out and recorded."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from made_data import prose

from hope.config import Corpus, Files, Validation, to_json
from hope.data.corpus import prepare_corpus, read_corpus, read_texts
from hope.errors import UserError


def corpus_of(folder: Path, **over: object) -> Corpus:
    validation = Validation(share=0.2, long_documents=1, long_characters=1)
    return Corpus(**({"source": "files", "files": Files(paths=[str(folder)]), "validation": validation} | over))


def read(folder: Path) -> tuple[pd.DataFrame, dict]:
    return pd.read_parquet(folder / "documents.parquet"), json.loads((folder / "corpus.json").read_text())


def prepared(settings: Corpus, output: Path) -> tuple[pd.DataFrame, dict]:
    prepare_corpus(settings, output)
    return read(output)


def test_the_table_and_the_description_agree(data: Path, texts: Path) -> None:
    table, description = read(data / "corpus")
    assert table.columns.tolist() == ["document", "name", "split", "group", "characters", "text"]
    assert table.document.tolist() == list(range(40))
    assert table.text.tolist() == [path.read_text() for path in sorted(texts.glob("*.txt"))]
    assert (table.characters == table.text.str.len()).all()
    for side in ("train", "validation"):
        part = table[table.split == side]
        assert description["split"][side] == {
            "documents": len(part),
            "characters": part.characters.sum(),
            "long_documents": (part.characters >= 2_000).sum(),
        }
        assert list(read_texts(data / "corpus", side)) == part.text.tolist()
    assert description["split"]["validation"]["characters"] >= 0.2 * description["characters"]
    assert description["split"]["validation"]["long_documents"] >= 4
    contents = [text.encode() for text in table.text]
    joined = b"".join(len(content).to_bytes(8, "little") + content for content in contents)
    assert description["digest"] == hashlib.sha256(joined).hexdigest()
    assert str(texts) not in json.dumps(description)


def test_exact_copies_are_dropped_and_near_copies_stay_on_one_side(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(20):
        lines = prose(index, 20).splitlines()
        (folder / f"{index:02d}-a.txt").write_text("\n".join(lines))
        (folder / f"{index:02d}-b.txt").write_text("\n".join([*lines[:15], "One line of its own: " + str(index)]))
        (folder / f"{index:02d}-c.txt").write_text("\n".join(lines))
    splits = []
    for seed in range(2):
        table, description = prepared(corpus_of(folder, seed=seed), tmp_path / f"corpus{seed}")
        assert description["dropped_duplicates"] == 20
        assert table.name.str.endswith("-c.txt").sum() == 0, "the first of the copies stays"
        assert (table.groupby("group").name.count() == 2).all() and description["groups"] == 20
        assert (table.groupby("group").split.nunique() == 1).all()
        splits.append(table.split.tolist())
    assert splits[0] != splits[1]
    table, _ = prepared(corpus_of(folder, near_duplicate_share=1.0), tmp_path / "apart")
    assert table.group.nunique() == 40


def test_a_document_is_cut_to_its_share_at_a_line_end_unless_all_are_alike(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(20):
        (folder / f"{index:02d}.txt").write_text(prose(index, 10))
    _, description = prepared(corpus_of(folder, max_document_share=0.001), tmp_path / "alike")
    assert description["cut_documents"] == 0
    (folder / "long.txt").write_text(prose(99, 200))
    total = sum(len(path.read_text()) for path in folder.iterdir())
    table, description = prepared(corpus_of(folder, max_document_share=0.2), tmp_path / "corpus")
    cut = table[table.name == "texts/long.txt"].iloc[0]
    assert description["cut_documents"] == 1
    assert 0.2 * total - 80 < cut.characters <= 0.2 * total
    assert cut.text.endswith("\n") and (folder / "long.txt").read_text().startswith(cut.text)


def test_another_interpreter_writes_the_same_bytes(settings: Corpus, data: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from hope.config import Corpus, from_json;"
        "from hope.data.corpus import prepare_corpus; prepare_corpus(from_json(Corpus, sys.argv[1]), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, to_json(settings), str(tmp_path)]
    subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "1"}, check=True, timeout=60)
    for name in ("documents.parquet", "corpus.json"):
        assert (tmp_path / name).read_bytes() == (data / "corpus" / name).read_bytes()


def test_altered_or_unfinished_documents_are_refused(
    settings: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_corpus(settings, tmp_path)
    assert read_corpus(tmp_path)["documents"] == 40
    path = tmp_path / "documents.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=r"^[^\n]*documents\.parquet: altered[^\n]*$"):
        read_corpus(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match=r"documents\.parquet: there is no such file"):
        read_corpus(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    with pytest.raises(OSError, match="No space left"):
        prepare_corpus(settings, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"corpus\.json: there is no such file"):
        read_corpus(tmp_path)
