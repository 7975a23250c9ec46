"""Datasets of the hub: what the client is asked for, and the real client on local folders."""

from pathlib import Path

import pytest

from hope.config import Corpus, Hub, Tokens
from hope.data.sources import collect
from hope.data.tokenizer import load_pretrained
from hope.errors import UserError

REVISION = "a1" * 20


def refused(**hub: object) -> str:
    with pytest.raises(UserError, match=r"^corpus\.hub: [^\n]*$") as caught:
        collect(Corpus(source="hub", hub=Hub(revision=REVISION, **hub)))
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
    collection = collect(Corpus(source="hub", hub=Hub(dataset="me/plain", revision=REVISION, documents=3)))
    assert asked == [("me/plain", {"name": None, "split": "train", "revision": REVISION, "streaming": True})]
    assert (collection.documents, collection.empty) == ([("train:0", "a"), ("train:2", "b")], 1)
    expected = {"dataset": "me/plain", "name": None, "split": "train", "revision": REVISION, "rows": 3}
    assert collection.origin == expected
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
    collection = collect(Corpus(source="hub", hub=Hub(revision=REVISION, documents=7, **hub)))
    assert collection.documents == [(f"train:{row}", f"document {row}") for row in range(7)]
    assert (collection.origin["revision"], collection.origin["dataset"]) == (None, "mine")
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
