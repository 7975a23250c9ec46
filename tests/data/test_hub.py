"""Datasets of the hub: what the client is asked for, and the real client on local folders."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from hope.config import Hub, TextSource, Tokens
from hope.data import sources
from hope.data.sources import collect
from hope.data.sources.document import Record, Shard
from hope.data.tokenizer import load_pretrained
from hope.errors import UserError

REVISION = "a1" * 20


def dataset_of(**hub: object) -> TextSource:
    return TextSource(source="hub", hub=Hub(revision=REVISION, **hub))


def refused(**hub: object) -> str:
    with pytest.raises(UserError, match=r"^corpus\.hub: [^\n]*$") as caught:
        collect(dataset_of(**hub))
    return str(caught.value)


@pytest.fixture(autouse=True)
def private_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the client's lock files out of the user's cache."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))


def test_a_dataset_and_a_tokenizer_are_asked_for_at_their_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(dataset: str, **options: object) -> list[dict[str, str]]:
        asked.append((dataset, options))
        return [{"text": "a"}, {"text": " "}, {"text": "b"}, {"text": "c"}]

    class Client:
        @staticmethod
        def from_pretrained(name: str, revision: str) -> None:
            raise RuntimeError(f"asked for {name} at {revision}")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    source, record = dataset_of(dataset="me/plain", documents=3), Record()
    documents = list(sources.read(source, record))
    assert asked == [("me/plain", {"name": None, "split": "train", "revision": REVISION, "streaming": True})]
    assert (documents, record.empty) == ([("train:0", "a"), ("train:2", "b")], 1)
    expected = {"dataset": "me/plain", "name": None, "split": "train", "revision": REVISION, "rows": 3}
    assert sources.origin(source) == expected
    monkeypatch.setattr("hope.data.tokenizer.Tokenizer", Client)
    with pytest.raises(UserError, match=rf"^tokens\.pretrained: [^\n]*asked for me/tokenizer at {REVISION}[^\n]*$"):
        load_pretrained(Tokens(tokenizer="pretrained", pretrained="me/tokenizer", revision=REVISION))


def test_a_local_folder_in_the_layout_of_the_hub_is_read_and_a_wrong_name_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(f'{{"text": "document {row}", "id": {row}}}\n' for row in range(9)))
    configurations = "".join(f"- config_name: {name}\n  data_files: rows.jsonl\n" for name in ("one", "two"))
    (folder / "README.md").write_text(f"---\nconfigs:\n{configurations}---\n")
    hub = {"dataset": str(folder), "name": "two"}
    source = dataset_of(documents=7, **hub)
    assert collect(source) == [(f"train:{row}", f"document {row}") for row in range(7)]
    origin = sources.origin(source)
    assert (origin["revision"], origin["dataset"]) == (None, "mine")
    assert "Config name is missing" in refused(dataset=str(folder))
    assert "trian" in refused(**hub, split="trian")
    fields = "no field 'txt' (did you mean 'text'?); there are text, id: set corpus.hub.text_field"
    assert fields in refused(**hub, text_field="txt")
    assert "holds int, not text" in refused(**hub, text_field="id")


def test_a_script_is_not_run_and_a_missing_dataset_or_connection_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text("raise SystemExit('the script ran')\n")
    assert "cannot be read (Dataset scripts are no longer" in refused(dataset=str(tmp_path / "mine"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    message = refused(dataset="me/plain")
    assert message.startswith("corpus.hub: 'me/plain' cannot be read (") and "connection" in message


def test_shards_of_a_dataset_skip_whole_files_whose_rows_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine" / "data").mkdir(parents=True)
    for number in range(3):
        rows = pd.DataFrame({"text": [f"document {10 * number + row}" for row in range(10)]})
        rows.to_parquet(tmp_path / "mine" / "data" / f"train-{number:05d}-of-00003.parquet")
    monkeypatch.setenv("HOME", str(tmp_path))
    source = dataset_of(dataset="~/mine", documents=25)
    assert collect(source) == [(f"train:{row}", f"document {row}") for row in range(25)]
    parts = [list(sources.read(source, Record(), Shard(number, 4))) for number in range(4)]
    assert [len(part) for part in parts] == [6, 6, 6, 7]
    assert [document for part in parts for document in part] == collect(source)
    (tmp_path / "mine" / "data" / "train-00001-of-00003.parquet").write_bytes(b"no longer Parquet")
    monkeypatch.setattr("hope.data.sources.hub._rows_of_files", lambda *_: [10, 10, 10])
    last = list(sources.read(source, Record(), Shard(4, 5)))
    assert last == [(f"train:{row}", f"document {row}") for row in range(20, 25)], "the file before it is not opened"


def test_shards_of_other_files_are_cut_by_row(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name, first in (("a", 0), ("b", 5)):
        lines = [f'{{"text": "document {row}"}}' for row in range(first, first + 5)]
        (tmp_path / "mine" / f"{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    source = dataset_of(dataset=str(tmp_path / "mine"), documents=9)
    parts = [list(sources.read(source, Record(), Shard(number, 2))) for number in range(2)]
    assert [document.text for part in parts for document in part] == [f"document {row}" for row in range(9)]
