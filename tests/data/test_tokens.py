"""Reading tokens: right ones, and none from a damaged folder."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import write_tokens

from hope.data.tokens import TokenCorpus
from hope.errors import UserError

DOCUMENTS = [[7] * 5, [300, 301, 1], list(range(10, 40)), [1], [65_535, 0]]
STREAM = [token for document in DOCUMENTS for token in document]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tokens(tmp_path / "train", DOCUMENTS, shard_tokens=7)


def test_documents_and_lengths_are_those_written(folder: Path) -> None:
    corpus = TokenCorpus.open(folder, verify=True)
    assert (corpus.tokens, corpus.documents, corpus.vocabulary) == (len(STREAM), 5, 60_000)
    assert corpus.lengths.tolist() == [len(document) for document in DOCUMENTS]
    assert [corpus.document(index).tolist() for index in range(5)] == DOCUMENTS
    assert corpus.special == {"start": 0, "end": 1, "separator": 2, "query": 3}


@given(start=st.integers(0, len(STREAM)), count=st.integers(0, len(STREAM)))
@settings(deadline=None)
def test_any_stretch_is_that_of_the_stream(tmp_path_factory: pytest.TempPathFactory, start: int, count: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "stretch"
    if not folder.exists():
        write_tokens(folder, DOCUMENTS, shard_tokens=7)
    corpus = TokenCorpus.open(folder)
    if start + count > len(STREAM):
        with pytest.raises(IndexError):
            corpus.read(start, count)
    else:
        assert corpus.read(start, count).tolist() == STREAM[start : start + count]
        assert corpus.read(start, count).dtype == np.int64


@pytest.mark.parametrize("index", [-1, 5])
def test_a_document_that_is_not_there_is_an_error(folder: Path, index: int) -> None:
    with pytest.raises(IndexError):
        TokenCorpus.open(folder).document(index)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["shard-00000.bin", "shard-00005.bin", "documents.bin", "manifest.json"])
@pytest.mark.parametrize("damage", [truncate, lengthen, Path.unlink])
def test_a_file_of_another_size_is_refused_by_name(folder: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(folder / name)
    with pytest.raises(UserError, match=rf"^[^\n]*{name}: [^\n]*$"):
        TokenCorpus.open(folder)


@pytest.mark.parametrize("name", ["shard-00000.bin", "shard-00005.bin"])
def test_an_altered_shard_is_refused_by_name_when_verified(folder: Path, name: str) -> None:
    flip(folder / name)
    TokenCorpus.open(folder)
    with pytest.raises(UserError, match=rf"^[^\n]*{name}: altered[^\n]*$"):
        TokenCorpus.open(folder, verify=True)


@pytest.mark.parametrize("verify", [False, True])
def test_altered_offsets_are_refused(folder: Path, verify: bool) -> None:
    flip(folder / "documents.bin")
    with pytest.raises(UserError, match=r"^[^\n]*documents\.bin: [^\n]*$"):
        TokenCorpus.open(folder, verify=verify)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tokens": 5}, "altered"),
        ({"format": 2}, "format 1"),
        ({"vocabulary": 1}, "altered"),
        ({"digest": ""}, "altered"),
    ],
)
def test_an_edited_manifest_is_refused(folder: Path, change: dict, expected: str) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=rf"^[^\n]*manifest\.json: [^\n]*{expected}[^\n]*$"):
        TokenCorpus.open(folder)


def test_the_digest_names_the_content(folder: Path, tmp_path: Path) -> None:
    same = write_tokens(tmp_path / "same" / "train", DOCUMENTS, shard_tokens=7)
    other = write_tokens(tmp_path / "other" / "train", [[8] * 5, *DOCUMENTS[1:]], shard_tokens=7)
    digests = [TokenCorpus.open(path).digest for path in (folder, same, other)]
    assert digests[0] == digests[1] != digests[2]
