"""The user's own files."""

import gzip
import json
import os
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from hope.config import Files, Hub, TextSource, Tokens
from hope.data import sources
from hope.data.sources import collect
from hope.data.sources.document import Document, Record, Shard
from hope.data.sources.encoding import decode
from hope.data.tokenizer import load_pretrained
from hope.errors import UserError


def read(*paths: Path | str, text_field: str = "text", record: Record | None = None) -> list[Document]:
    source = TextSource(source="files", files=Files(paths=[str(path) for path in paths], text_field=text_field))
    return list(sources.read(source, record or Record()))


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
    record = Record()
    assert read(tree, record=record) == [
        ("books/b/c/two.TXT", "two"),
        ("books/b/one.md", "# One"),
        ("books/b/rows.jsonl:1", "first"),
        ("books/b/rows.jsonl:3", "second"),
        ("books/table.parquet:1", "third"),
        ("books/table.parquet:2", "fourth"),
        ("books/z.txt", "last"),
    ]
    origin = sources.origin(TextSource(source="files", files=Files(paths=[str(tree)])))
    assert (record.empty, origin["files"]) == (1, 5)
    assert origin["files_skipped"] == {".png": 1}
    assert str(tree) not in json.dumps(origin)
    assert sorted(read(f"{tree}/**/*.*")) == sorted(read(tree))
    assert read(f"{tree}/*.txt", tree / "z.txt") == [("books/z.txt", "last")]
    (tree / "notes[1].txt").write_text("name with wildcard characters")
    assert read(tree / "notes[1].txt") == [("notes[1].txt", "name with wildcard characters")]
    monkeypatch.chdir(tree.parent)
    assert read("books") == read("./books/") == read(tree)
    assert read("books/*/*.md") == [("books/b/one.md", "# One")]


RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. " * 3
CHINESE = "幸福的家庭都是相似的，不幸的家庭各有各的不幸。奥布隆斯基家里一切都混乱了。"
POLISH = "Zażółć gęślą jaźń. Wszystkie szczęśliwe rodziny są do siebie podobne."
CZECH = "Všechny šťastné rodiny si jsou podobné, každá nešťastná rodina je nešťastná po svém."


@pytest.mark.parametrize(
    ("content", "text", "encoding", "remark"),
    [
        ("naïve €".encode(), "naïve €", "utf-8", ""),
        (b"\xef\xbb\xbfmarked", "marked", "utf-8", ""),
        ("naïve".encode("utf-16"), "naïve", "utf-16-le", ""),
        (b"\xfe\xff" + RUSSIAN.encode("utf-16-be"), RUSSIAN, "utf-16-be", ""),
        (RUSSIAN.encode("utf-32"), RUSSIAN, "utf-32-le", ""),
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n", "utf-8", ""),
        (b"", "", "utf-8", ""),
        # Damaged UTF-8 stays UTF-8.
        (RUSSIAN.encode() + b"\xff\n" + RUSSIAN.encode(), RUSSIAN + "\ufffd\n" + RUSSIAN, "utf-8", "line 1"),
        ((RUSSIAN + "\nя").encode()[:-1], RUSSIAN + "\n\ufffd", "utf-8", "line 2"),
        (CHINESE.encode()[1:], "\ufffd\ufffd" + CHINESE[1:], "utf-8", "line 1"),
        (b"plain text " * 500 + b"\xa1\xbd", "plain text " * 500 + "\ufffd\ufffd", "utf-8", "line 1"),
        # Other encodings are detected.
        (RUSSIAN.encode("cp1251"), RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN.encode("koi8_r"), RUSSIAN, "koi8_r", "koi8_r"),
        (CHINESE.encode("gb18030"), CHINESE, "gb18030", "gb18030"),
        (POLISH.encode("cp1250"), POLISH, "cp1250", "cp1250"),
        (CZECH.encode("cp1250"), CZECH, "cp1250", "cp1250"),
        (RUSSIAN.encode("utf-16-le"), RUSSIAN, "utf-16-le", "utf-16-le"),
        ("Hello world".encode("utf-16-be"), "Hello world", "utf-16-be", "utf-16-be"),
        (b"na\xefve \x93quoted\x94", "naïve \u201cquoted\u201d", "cp1252", "cp1252"),
        (b"caf\xe9", "café", "cp1252", "cp1252"),
    ],
)
def test_bytes_become_text(content: bytes, text: str, encoding: str, remark: str) -> None:
    decoded = decode(content)
    assert decoded is not None and decoded.text == text and decoded.encoding == encoding
    assert remark in decoded.remark and bool(remark) == bool(decoded.remark)


@pytest.mark.parametrize("content", [b"\x7fELF\0\0", bytes(range(128, 256)) * 9, "Привет".encode("cp1251"), b"a\0b"])
def test_bytes_that_nobody_can_read_are_refused(content: bytes, tmp_path: Path) -> None:
    assert decode(content) is None
    (tmp_path / "a.txt").write_bytes(content)
    assert "a.txt: its character encoding is not UTF-8 and cannot be told" in refused(tmp_path)


def test_an_uncertain_reading_is_named_with_file_and_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new.txt").write_bytes("é".encode())
    (tmp_path / "old.txt").write_bytes(b"caf\xe9")
    (tmp_path / "a.jsonl").write_bytes(
        rb'{"text": "half \ud83d, whole \ud83d\ude00"}' + b'\n{"text": "' + RUSSIAN.encode() + b'\xff"}\n'
    )
    record = Record()
    documents = read(tmp_path, record=record)
    assert record.encodings == {"cp1252": 1, "utf-8": 1}
    name = tmp_path.name
    assert record.remarks == [f"{name}/a.jsonl:2: damaged utf-8", f"{name}/old.txt: read as cp1252"]
    assert capsys.readouterr().out.splitlines() == [f"corpus: {remark}" for remark in record.remarks]
    assert documents[0].text == "half \ufffd, whole \U0001f600" and documents[1].text == RUSSIAN + "\ufffd"


def test_links_are_followed_once_and_what_is_no_file_is_left_out(tree: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (away / "linked.txt").write_text("linked")
    (tree / "b" / "link").symlink_to(away)
    (away / "round").symlink_to(tree)
    assert ("books/b/link/linked.txt", "linked") in read(tree)
    assert len(read(tree)) == len(set(read(tree))) == 8
    assert sorted(text for _, text in read(f"{tree}/**/*.*")) == sorted(text for _, text in read(tree))
    os.mkfifo(tree / "p.txt")
    assert len(read(tree)) == 8
    assert sources.origin(TextSource(source="files", files=Files(paths=[str(tree)])))["files_skipped"] == {
        ".png": 1,
        "no regular file": 1,
    }
    assert "no regular file" in refused(tree / "p.txt")
    (tree / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    assert "gone.txt: a link that leads to no file; repair or remove it" in refused(tree)


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8 there")
def test_a_name_that_is_no_utf_8_is_read_and_shown(tmp_path: Path) -> None:
    root = tmp_path / "texts"
    root.mkdir()
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.txt")).write_bytes(b"caf\xe9")
    record = Record()
    assert read(root, record=record) == [("texts/caf\ufffd.txt", "café")]
    json.dumps(record.as_json(), ensure_ascii=False).encode()
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.jsonl")).write_bytes(b"[1]")
    assert "\\udcff.jsonl:1: expected a JSON object" in UserError(refused(root)).line


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8 there")
def test_the_suffix_of_a_skipped_file_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/Dr. M\xfcller")).write_bytes(b"no text")
    origin = sources.origin(TextSource(source="files", files=Files(paths=[str(tmp_path)])))
    assert origin["files_skipped"] == {". m\ufffdller": 1}
    json.dumps(origin, ensure_ascii=False).encode()


def test_a_tilde_that_names_no_user_is_part_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~texts").mkdir()
    (tmp_path / "~texts" / "a.txt").write_text("a text")
    assert read("~texts") == read("~texts/*.txt") == [("~texts/a.txt", "a text")]
    assert "leads to no file (did you mean '~texts'?)" in refused("~textz")
    assert Hub(dataset="~texts").folder == Path("~texts") and Hub(dataset="~textz").folder is None
    assert Tokens(tokenizer="pretrained", pretrained="~texts").local == Path("~texts")
    with pytest.raises(UserError, match=r"~texts/tokenizer\.json is no file"):
        load_pretrained(Tokens(tokenizer="pretrained", pretrained="~texts"))


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    rows = b'{"text": "first"}\n{"text": "second"}\n'
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows) + gzip.compress(b'{"text": "third"}'))
    with pa.output_stream(str(tmp_path / "b.jsonl.zst"), compression="zstd") as stream:
        stream.write(rows)
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(b"a text"))
    name = tmp_path.name
    assert read(tmp_path) == [
        (f"{name}/a.jsonl.gz:1", "first"),
        (f"{name}/a.jsonl.gz:2", "second"),
        (f"{name}/a.jsonl.gz:3", "third"),
        (f"{name}/b.jsonl.zst:1", "first"),
        (f"{name}/b.jsonl.zst:2", "second"),
        (f"{name}/c.txt.gz", "a text"),
    ]
    (tmp_path / "a.jsonl.gz").write_bytes((tmp_path / "a.jsonl.gz").read_bytes()[:-12])
    assert "a.jsonl.gz: cannot be read" in refused(tmp_path)
    (tmp_path / "d.gz").write_bytes(b"")
    assert "name it after what is in it, such as a.jsonl.gz" in refused(tmp_path / "d.gz")


@pytest.mark.parametrize("count", [2, 3, 11])
def test_shards_together_give_every_document_once_and_in_order(tree: Path, count: int) -> None:
    lines = [json.dumps({"text": f"row {row} " + "x" * (row % 7)}) for row in range(50)]
    (tree / "many.jsonl").write_bytes(("\n".join(lines) + "\n\n" + lines[0]).encode())
    (tree / "packed.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    pd.DataFrame({"text": [f"value {row}" for row in range(30)]}).to_parquet(tree / "rows.parquet", row_group_size=4)
    source = TextSource(source="files", files=Files(paths=[str(tree)]))
    whole, apart = Record(), [Record() for _ in range(count)]
    expected = list(sources.read(source, whole))
    parts = [list(sources.read(source, record, Shard(number, count))) for number, record in enumerate(apart)]
    assert [document for part in parts for document in part] == expected
    assert sum(record.empty for record in apart) == whole.empty
    assert count > 3 or all(parts)


def test_a_folder_that_cannot_be_listed_is_one_line(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def refusing(path: object) -> object:
        if str(path).endswith("/c"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr("os.scandir", refusing)
    assert "c: cannot be read (Permission denied)" in refused(tree)


def test_a_folder_that_can_be_listed_but_not_entered_is_one_line(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def refusing(path: object, **options: object) -> os.stat_result:
        if "/b/c/" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr("os.stat", refusing)
    for given in (tree, f"{tree}/b/*/*", tree / "b" / "c" / "two.TXT"):
        assert "b/c/two.TXT: cannot be read (Permission denied); make it readable or leave it out" in refused(given)


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
    with pytest.raises(UserError, match=r"no document with any text \(3 empty documents"):
        collect(TextSource(source="files", files=Files(paths=[str(empty)])))


def test_a_document_in_any_source_has_a_largest_size(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a", "é" * 60]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet:2: holds a document of more than 0 MB[^\n]*corpus\.memory_mb$"):
        read(tmp_path / "a.parquet", record=Record(limit=100))
    assert len(read(tmp_path / "a.parquet", record=Record(limit=120))) == 2
    with pytest.raises(UserError, match=r"\.py: holds a document of more than 0 MB"):
        list(sources.read(TextSource(), Record(limit=100)))


def test_rows_of_parquet_are_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{row} " * 1_000 for row in range(50)]
    pd.DataFrame({"text": texts}).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr("hope.data.sources.readers.BATCH_BYTES", 20_000)
    real, asked = pa.parquet.ParquetFile.iter_batches, []
    monkeypatch.setattr(
        "pyarrow.parquet.ParquetFile.iter_batches",
        lambda file, **options: (asked.append(options["batch_size"]), real(file, **options))[1],
    )
    assert [text for _, text in read(tmp_path)] == texts
    assert len(asked) == 1 and 1 <= asked[0] <= 10


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
    assert read(path, text_field="body") == [("a.parquet:1", "a")]
    path.write_bytes(path.read_bytes()[:-20])
    assert str(path) in refused(path)
