"""Reading tokens: right ones, and none from a damaged folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from tests.token_folder import write_tokens

DOCUMENTS = [[7] * 5, [300, 301, 1], list(range(10, 40)), [1], [65_535, 0]]
STREAM = [token for document in DOCUMENTS for token in document]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tokens(tmp_path / "train", DOCUMENTS, shard_tokens=7)


def test_documents_and_any_stretch_are_those_written(folder: Path) -> None:
    corpus = TokenCorpus.open(folder, verify=True)
    assert (corpus.tokens, corpus.documents, corpus.vocabulary) == (len(STREAM), 5, 60_000)
    assert corpus.lengths.tolist() == [len(document) for document in DOCUMENTS]
    assert [corpus.document(index).tolist() for index in range(5)] == DOCUMENTS
    assert corpus.special == {"start": 0, "end": 1, "separator": 2, "query": 3}
    for start in range(len(STREAM) + 1):
        for count in range(len(STREAM) + 1 - start):
            assert corpus.read(start, count).tolist() == STREAM[start : start + count]
        with pytest.raises(IndexError):
            corpus.read(start, len(STREAM) + 1 - start)
    assert corpus.read(0, 9).dtype == np.int64
    for wrong in (-1, 5):
        with pytest.raises(IndexError):
            corpus.document(wrong)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def test_a_damaged_file_is_refused_by_name(folder: Path) -> None:
    for name in ("shard-00000.bin", "shard-00005.bin", "documents.bin", "manifest.json"):
        content = (folder / name).read_bytes()
        for damage in (truncate, lengthen, Path.unlink):
            damage(folder / name)
            with pytest.raises(UserError, match=rf"^[^\n]*{name}: [^\n]*$"):
                TokenCorpus.open(folder)
            (folder / name).write_bytes(content)
        flip(folder / name)
        if name.startswith("shard"):
            TokenCorpus.open(folder)
        else:
            with pytest.raises(UserError, match=rf"^[^\n]*{name}: [^\n]*$"):
                TokenCorpus.open(folder)
        with pytest.raises(UserError, match=rf"^[^\n]*{name}: [^\n]*$"):
            TokenCorpus.open(folder, verify=True)
        (folder / name).write_bytes(content)
    TokenCorpus.open(folder, verify=True)


def test_an_edited_manifest_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    for change, expected in (
        ({"tokens": 5}, "altered"),
        ({"format": 2}, "format 1"),
        ({"vocabulary": 1}, "altered"),
        ({"digest": ""}, "altered"),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(UserError, match=rf"^[^\n]*manifest\.json: [^\n]*{expected}[^\n]*$"):
            TokenCorpus.open(folder)


def test_the_digest_names_the_content(folder: Path, tmp_path: Path) -> None:
    same = write_tokens(tmp_path / "same" / "train", DOCUMENTS, shard_tokens=7)
    other = write_tokens(tmp_path / "other" / "train", [[8] * 5, *DOCUMENTS[1:]], shard_tokens=7)
    digests = [TokenCorpus.open(path).digest for path in (folder, same, other)]
    assert digests[0] == digests[1] != digests[2]
