"""A corpus prepared from files: what is dropped, cut, held out and recorded."""

import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_data import prose, table_of

from hope.config import Corpus, Files, Tokens, Validation, to_json
from hope.data.corpus import prepare_corpus
from hope.data.parts import read_part
from hope.data.prepared import read_corpus, read_texts
from hope.data.tokenize import tokenize_corpus
from hope.errors import UserError
from hope.paths import part_folder


def corpus_of(folder: Path, **over: object) -> Corpus:
    validation = Validation(share=0.2, long_documents=1, long_characters=1)
    return Corpus(**({"source": "files", "files": Files(paths=[str(folder)]), "validation": validation} | over))


def read(folder: Path) -> tuple[pd.DataFrame, dict]:
    return table_of(folder), json.loads((folder / "corpus.json").read_text())


def prepared(settings: Corpus, output: Path) -> tuple[pd.DataFrame, dict]:
    prepare_corpus(settings, output)
    return read(output)


def test_the_table_and_the_description_agree(data: Path, texts: Path) -> None:
    table, description = read(data / "corpus")
    numbers = ["group", "characters", "bytes", "part", "row"]
    assert table.columns.tolist() == ["document", "name", "source", "split", *numbers, "text"]
    assert table.document.tolist() == list(range(40))
    assert table.text.tolist() == [path.read_text() for path in sorted(texts.glob("*.txt"))]
    assert (table.characters == table.text.str.len()).all()
    assert (table.bytes == [len(text.encode()) for text in table.text]).all()
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
    for name in ("documents.parquet", "corpus.json", "parts/00000/texts.parquet"):
        assert (tmp_path / name).read_bytes() == (data / "corpus" / name).read_bytes()


def test_altered_parts_are_refused(settings: Corpus, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"shards": 2})
    for part in range(2):
        read_part(settings, part, part_folder(tmp_path, part))
    for name in ("texts", "lines", "runs", "phrases"):
        path = part_folder(tmp_path, 1) / f"{name}.parquet"
        content = path.read_bytes()
        path.write_bytes(content[:90] + bytes([content[90] ^ 1]) + content[91:])
        with pytest.raises(UserError, match=rf"^[^\n]*{path.name}: altered since [^\n]*part.json[^\n]*$"):
            prepare_corpus(settings, tmp_path)
        path.write_bytes(content)
    prepare_corpus(settings, tmp_path)


def test_altered_or_unfinished_documents_are_refused(
    settings: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_corpus(settings, tmp_path)
    assert read_corpus(tmp_path)["documents"] == 40
    for name in ("documents.parquet", "parts/00000/texts.parquet"):
        path = tmp_path / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"x")
        with pytest.raises(UserError, match=rf"^[^\n]*{path.name}: altered[^\n]*$"):
            read_corpus(tmp_path)
        path.unlink()
        with pytest.raises(UserError, match=rf"{path.name}: there is no such file"):
            read_corpus(tmp_path)
        path.write_bytes(content)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    with pytest.raises(OSError, match="No space left"):
        prepare_corpus(settings, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix == ".json"]
    with pytest.raises(UserError, match=r"corpus\.json: there is no such file"):
        read_corpus(tmp_path)


def test_the_number_of_shards_changes_no_document_no_side_and_no_token(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(12):
        (folder / f"{index:02d}.txt").write_text(prose(index, 10 + 5 * (index % 4)))
    rows = [{"text": prose(index, 8)} for index in range(100, 130)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    pd.DataFrame(rows[:5] + [{"text": prose(index, 8)} for index in range(200, 230)]).to_parquet(
        folder / "table.parquet", row_group_size=4
    )
    (folder / "zz.jsonl").write_text(json.dumps({"text": prose(3, 9) + "and more."}))
    (tmp_path / "other.txt").write_text(prose(300, 20))
    (tmp_path / "others.jsonl").write_text("\n".join(json.dumps({"text": prose(seed, 8)}) for seed in range(310, 330)))
    mixed = {
        "source": "mixture",
        "mixture": {
            "all": {"source": "files", "files": {"paths": [str(folder)]}, "weight": 3.0},
            "some": {
                "source": "files",
                "files": {"paths": [str(tmp_path / "other.txt"), str(tmp_path / "others.jsonl")]},
            },
        },
    }
    for name, given in (("one", {}), ("mixed", mixed)):
        found = []
        for shards in (1, 2, 30):
            output = tmp_path / name / str(shards)
            settings = Corpus.model_validate(
                corpus_of(folder).model_dump() | given | {"shards": shards, "max_document_share": 0.05}
            )
            prepare_corpus(settings, output / "corpus")
            tokenize_corpus(Tokens(vocabulary=400, fit_characters=9_000), output / "corpus", output)
            table, description = read(output / "corpus")
            assert len(description["parts"]) == shards * len(settings.sources)
            for different in ("parts", "documents_sha256"):
                del description[different]
            tokens = [(output / side / "manifest.json").read_text() for side in ("train", "validation")]
            found.append((table.drop(columns=["part", "row"]).to_dict(), description, tokens))
        assert found[0] == found[1] == found[2]


def test_parts_that_were_read_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(12):
        (folder / f"{index:02d}.txt").write_text(prose(index, 10))
    settings = corpus_of(folder, shards=3)
    for part in (0, 2):
        read_part(settings, part, part_folder(tmp_path / "corpus", part))
    done = []
    monkeypatch.setattr("hope.data.corpus.read_part", lambda *asked: (done.append(asked[1]), read_part(*asked)))
    prepare_corpus(settings, tmp_path / "corpus")
    assert done == [1]
    # Outside the workflow, what was read here is not kept: a second call reads it again.
    prepare_corpus(settings, tmp_path / "corpus")
    assert done == [1, 1]
    (tmp_path / "corpus" / "parts" / "00002" / "phrases.parquet").unlink()
    prepare_corpus(settings, tmp_path / "corpus")
    assert done == [1, 1, 1, 2]


def test_an_error_at_the_end_leaves_no_file_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text(prose(0, 10))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    with pytest.raises(OSError, match="No space left"):
        read_part(corpus_of(tmp_path / "a.txt"), 0, tmp_path / "part")
    assert not list((tmp_path / "part").iterdir())


def test_what_is_the_same_after_a_cut_is_a_copy(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(60):
        (folder / f"{index:02d}.txt").write_text(prose(index, 3))
    for book in range(4):
        for edition in range(2):
            text = prose(100 + book, 100) + prose(200 + 10 * book + edition, 5)
            (folder / f"book{book}-{edition}.txt").write_text(text)
    settings = corpus_of(folder, near_duplicate_share=1.0, max_document_share=0.05)
    table, description = prepared(settings, tmp_path / "corpus")
    assert table.text.is_unique and table.name.str.contains("book").sum() == 4 == description["cut_documents"]
    assert description["duplicates"] == [
        {"copy": f"texts/book{book}-1.txt", "kept": f"texts/book{book}-0.txt"} for book in range(4)
    ]


def test_copies_in_another_normal_form_of_unicode_are_copies(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("aàảbcdđeêghiklmôớnơpqrstưvxỹ"), 5)) for _ in range(500)]
    for index in range(10):
        text = "\n".join(" ".join(rng.choice(words, 9)) for _ in range(20))
        more = "\n".join(" ".join(rng.choice(words, 9)) for _ in range(5))
        (folder / f"{index}-c.txt").write_text(text)
        (folder / f"{index}-d.txt").write_text(unicodedata.normalize("NFD", text))
        (folder / f"{index}-more.txt").write_text(unicodedata.normalize("NFD", text + "\n" + more))
    table, description = prepared(corpus_of(folder), tmp_path / "corpus")
    assert description["dropped_duplicates"] == 10 and not table.name.str.endswith("-d.txt").any()
    assert (table.groupby("group").name.count() == 2).all() and table.group.nunique() == 10
    assert table.text.tolist() == [(tmp_path / name).read_text() for name in table.name], "the text is as it was"


def test_a_mixture_has_the_shares_of_its_weights(tmp_path: Path) -> None:
    for name, first, count in (("web", 0, 40), ("code", 100, 20)):
        (tmp_path / name).mkdir()
        for index in range(count):
            (tmp_path / name / f"{index:02d}.txt").write_text(prose(first + index, 10))
    mixture = {
        name: {"source": "files", "files": {"paths": [str(tmp_path / name)]}, "weight": weight}
        for name, weight in (("web", 1.0), ("code", 4.0))
    }
    settings = Corpus.model_validate(
        {"source": "mixture", "mixture": mixture, "validation": corpus_of(tmp_path).validation}
    )
    table, description = prepared(settings, tmp_path / "corpus")
    shares = table.groupby("source").characters.sum() / table.characters.sum()
    assert shares["code"] == pytest.approx(0.8, abs=0.03)
    assert (table.source == "code").sum() == 20, "the source that limits the others is kept whole"
    for name, of in description["sources"].items():
        assert of["share"] == pytest.approx(shares[name]) and of["documents"] == (table.source == name).sum()
    assert description["dropped_by_weight"] == 60 - len(table)


def test_a_mixture_has_these_shares_also_if_documents_are_cut(tmp_path: Path) -> None:
    (tmp_path / "web.jsonl").write_text("\n".join(json.dumps({"text": prose(seed, 3)}) for seed in range(300)))
    (tmp_path / "books").mkdir()
    for index in range(4):
        (tmp_path / "books" / f"{index}.txt").write_text(prose(1_000 + index, 400))
    mixture = {
        name: {"source": "files", "files": {"paths": [str(tmp_path / path)]}, "weight": weight}
        for name, path, weight in (("web", "web.jsonl", 1.0), ("books", "books", 2.0))
    }
    given = {"source": "mixture", "mixture": mixture, "validation": corpus_of(tmp_path).validation}
    table, description = prepared(Corpus.model_validate(given), tmp_path / "corpus")
    assert description["cut_documents"] == 4 and description["dropped_by_weight"] > 0
    assert table[table.source == "books"].characters.sum() / table.characters.sum() == pytest.approx(2 / 3, abs=0.02)


def test_what_short_documents_share_with_long_ones_is_not_underestimated(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrst"), rng.integers(3, 9))) for _ in range(3_000)]

    def lines(count: int) -> list[str]:
        return [" ".join(rng.choice(words, 12)) for _ in range(count)]

    long = [lines(1_000) for _ in range(3)]
    for index, text in enumerate(long):
        (folder / f"long{index}.txt").write_text("\n".join(text))
    for index in range(60):
        start = rng.integers(900)
        (folder / f"{index:02d}.txt").write_text("\n".join([*long[index % 3][start : start + 4], *lines(6)]))
    table, description = prepared(corpus_of(folder, max_document_share=1.0), tmp_path / "corpus")

    def phrases(text: str) -> set[str]:
        letters = "".join(filter(str.isalnum, text))
        return {letters[start : start + 48] for start in range(len(letters) - 47)}

    seen = set().union(*map(phrases, table[table.split == "train"].text))
    held = table[table.split == "validation"]
    shares = [len(phrases(text) & seen) / len(phrases(text)) for text in held.text]
    assert description["overlap"]["mean"] == pytest.approx(np.mean(shares), abs=0.1)
    assert description["overlap"]["text"] == pytest.approx(np.average(shares, weights=held.characters), abs=0.1)


def test_what_the_sides_share_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for index in range(30):
        (folder / f"{index:02d}.txt").write_text(prose(index, 30) + (prose(999, 10) if index % 3 == 0 else ""))
    table, description = prepared(corpus_of(folder), tmp_path / "corpus")
    held = table[table.split == "validation"]
    sharing = held.name.str.extract(r"(\d+)\.txt")[0].astype(int) % 3 == 0
    overlap = description["overlap"]
    assert sum(overlap["documents_up_to"].values()) == len(held)
    assert {one["document"] for one in overlap["most"] if one["share"] > 0.1} == set(held.name[sharing])
    assert overlap["mean"] == pytest.approx(0.25 * sharing.mean(), abs=0.05)


def test_remedies_name_what_helps(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "whole.txt").write_text(prose(0, 50))
    with pytest.raises(UserError, match=r"^corpus\.validation[^\n]*split it into several documents[^\n]*$"):
        prepare_corpus(corpus_of(folder), tmp_path / "corpus")
    for index in range(20):
        (folder / f"{index}.txt").write_text(prose(7, 30) + prose(index, 8))
    (folder / "whole.txt").unlink()
    with pytest.raises(UserError, match=r"^corpus\.validation[^\n]*raise corpus\.near_duplicate_share[^\n]*$"):
        prepare_corpus(corpus_of(folder), tmp_path / "corpus")
    with pytest.raises(UserError, match=r"whole\.txt: holds a document of more than 31 MB[^\n]*split it into several"):
        (folder / "whole.txt").write_bytes(b"word " * 6_500_000)
        prepare_corpus(corpus_of(folder, memory_mb=500), tmp_path / "corpus")
