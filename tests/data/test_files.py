"""The user's own files."""

import json
from pathlib import Path

import pandas as pd
import pytest

from hope.config import Corpus, Files
from hope.data.sources import collect
from hope.data.sources.document import Collection, decode
from hope.errors import UserError


def read(*paths: Path | str, text_field: str = "text") -> Collection:
    return collect(Corpus(source="files", files=Files(paths=[str(path) for path in paths], text_field=text_field)))


def refused(*paths: Path | str, text_field: str = "text") -> str:
    with pytest.raises(UserError) as caught:
        read(*paths, text_field=text_field)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with each kind of file, in folders, with hidden and other files among them."""
    root = tmp_path / "books"
    (root / "b" / "c").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "z.txt").write_text("last")
    (root / "b" / "one.md").write_text("# One")
    (root / "b" / "c" / "two.TXT").write_text("two")
    (root / "b" / "rows.jsonl").write_text('{"text": "first"}\n\n{"text": "second", "n": 1}\n')
    pd.DataFrame({"text": ["third", "fourth", None], "n": [1, 2, 3]}).to_parquet(root / "table.parquet")
    (root / "image.png").write_bytes(b"\x89PNG\0")
    (root / ".hidden.txt").write_text("hidden")
    (root / ".git" / "config.txt").write_text("hidden")
    return root


def test_a_folder_or_glob_gives_every_known_file_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = read(tree)
    assert collection.documents == [
        ("books/b/c/two.TXT", "two"),
        ("books/b/one.md", "# One"),
        ("books/b/rows.jsonl:1", "first"),
        ("books/b/rows.jsonl:3", "second"),
        ("books/table.parquet:1", "third"),
        ("books/table.parquet:2", "fourth"),
        ("books/z.txt", "last"),
    ]
    assert (collection.empty, collection.origin["files"]) == (1, 5)
    assert collection.origin["files_skipped"] == {".png": 1}
    assert str(tree) not in json.dumps(collection.origin)
    assert sorted(read(f"{tree}/**/*.*").documents) == sorted(collection.documents)
    assert read(f"{tree}/*.txt", tree / "z.txt").documents == [("books/z.txt", "last")]
    (tree / "notes[1].txt").write_text("name with wildcard characters")
    assert read(tree / "notes[1].txt").documents == [("notes[1].txt", "name with wildcard characters")]
    monkeypatch.chdir(tree.parent)
    assert read("books").documents == read("./books/").documents == read(tree).documents
    assert read("books/*/*.md").documents == [("books/b/one.md", "# One")]


def test_bytes_become_text_by_stated_encodings(tmp_path: Path) -> None:
    for content, expected in (
        ("naïve €".encode(), ("naïve €", "utf-8")),
        (b"\xef\xbb\xbfmarked", ("marked", "utf-8")),
        ("naïve".encode("utf-16"), ("naïve", "utf-16")),
        (b"na\xefve \x93quoted\x94", ("naïve \u201cquoted\u201d", "cp1252")),
        (b"na\xefve \x81", ("naïve \x81", "latin-1")),
        (b"one\r\ntwo\rthree\n", ("one\ntwo\nthree\n", "utf-8")),
        (b"\x7fELF\0\0", None),
        (b"\xff\xfeA", None),
        (b"", ("", "utf-8")),
    ):
        assert decode(content) == expected
    (tmp_path / "new.txt").write_bytes("é".encode())
    (tmp_path / "old.txt").write_bytes(b"caf\xe9")
    (tmp_path / "a.jsonl").write_text(r'{"text": "half \ud83d, whole \ud83d\ude00"}')
    collection = read(tmp_path)
    assert collection.origin["text_encodings"] == {"cp1252": 1, "utf-8": 1}
    assert collection.origin["read_by_fallback"] == [f"{tmp_path.name}/old.txt"]
    assert collection.documents[0].text == "half \ufffd, whole \U0001f600"


def test_a_path_without_text_is_refused_with_a_remedy(tree: Path) -> None:
    message = refused(tree.parent / "bookz")
    assert "corpus.files.paths" in message and "did you mean 'books'?" in message
    assert "leads to no file" in refused(f"{tree}/*.text")
    for name, remedy in (
        ("a.csv", "convert it to .jsonl or .parquet"),
        ("a.pkl", "never read"),
        ("a.json", "one JSON object per line"),
        ("a.text", "did you mean '.txt'?"),
        ("a", "known are .txt, .md, .jsonl, .parquet"),
    ):
        folder = tree.parent / f"with {name}"
        folder.mkdir()
        (folder / name).write_text("x")
        assert remedy in refused(folder / name) and remedy in refused(folder)
    empty = tree.parent / "empty"
    empty.mkdir()
    assert "leads to no file" in refused(empty)
    (empty / "a.txt").write_text(" \n")
    (empty / "b.jsonl").write_text('{"text": ""}\n{"text": null}\n')
    assert "no document with any text in 2 files (3 empty documents)" in refused(empty)
    (empty / "c.txt").write_bytes(b"GIF89a\0\0")
    assert "c.txt: holds NUL bytes" in refused(empty)


def test_a_broken_row_or_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for line, expected in (
        (b'{"text": "cut', "not valid JSON"),
        (b'["text"]', "expected a JSON object"),
        (b'{"txt": "a"}', "no field 'text' (did you mean 'txt'?); there are txt: set corpus.files.text_field"),
        (b'{"text": 5}', "holds int, not text"),
        (b'{"text": "caf\xe9"}', "not UTF-8"),
        (b"[" * 100_000, "repair or delete"),
    ):
        path.write_bytes(b'{"text": "good"}\n\n' + line + b"\n")
        message = refused(path)
        assert message.startswith(f"{path}:3: ") and expected in message
    path = tmp_path / "a.parquet"
    pd.DataFrame({"body": ["a"], "n": [1]}).to_parquet(path)
    assert f"{path}: no field 'text'; there are body, n" in refused(path)
    assert "row 1: field 'n' holds int" in refused(path, text_field="n")
    assert read(path, text_field="body").documents == [("a.parquet:1", "a")]
    path.write_bytes(path.read_bytes()[:-20])
    assert str(path) in refused(path)
