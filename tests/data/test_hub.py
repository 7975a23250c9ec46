"""Datasets of the hub: the real client, on a local folder and on a hub that runs in the test."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hope.config import Corpus, Hub
from hope.data.sources import collect
from hope.errors import UserError

REVISION = "a1" * 20
ROWS = b"".join(json.dumps({"text": f"document {number}", "id": number}).encode() + b"\n" for number in range(9))
TOKENIZER = json.dumps(
    {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "added_tokens": [],
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    }
).encode()
REPOSITORIES = {
    "/datasets/me/plain": {"README.md": b"---\nlicense: mit\n---\n", "train.jsonl": ROWS},
    "/datasets/me/script": {"README.md": b"", "script.py": b"raise SystemExit('the script ran')\n"},
    "/me/tokenizer": {"tokenizer.json": TOKENIZER},
}


class FakeHub(BaseHTTPRequestHandler):
    """Answers what the client asks of the hub, for one revision alone."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET(content_too=False)

    def do_GET(self, content_too: bool = True) -> None:
        path = self.path.split("?")[0]
        for name, files in REPOSITORIES.items():
            if path == f"/api{name}/revision/{REVISION}":
                listing = {
                    "id": name.removeprefix("/datasets/"),
                    "sha": REVISION,
                    "siblings": [{"rfilename": file} for file in files],
                }
                return self.reply(200, json.dumps(listing).encode(), content_too)
            if path == f"/api{name}/tree/{REVISION}":
                rows = [{"type": "file", "path": file, "size": len(files[file]), "oid": "0" * 40} for file in files]
                return self.reply(200, json.dumps(rows).encode(), content_too)
            file = path.removeprefix(f"{name}/resolve/{REVISION}/")
            if file in files:
                return self.reply(200, files[file], content_too)
        self.reply(404, b"{}", content_too)

    def reply(self, code: int, content: bytes, content_too: bool) -> None:
        """Send one answer, or the part of it that a range asks for."""
        size = len(content)
        headers = {
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "X-Repo-Commit": REVISION,
            "Content-Type": "application/json",
        } | ({"X-Error-Code": "EntryNotFound"} if code == 404 else {})
        asked = self.headers.get("Range")
        if asked and content_too and code == 200:
            first, last = asked.removeprefix("bytes=").split("-")
            content = content[int(first) : int(last or size) + 1]
            code, headers["Content-Range"] = 206, f"bytes {first}-{int(first) + len(content) - 1}/{size}"
        self.send_response(code)
        for key, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(key, value)
        self.end_headers()
        if content_too:
            self.wfile.write(content)


PROGRAM = """
import json
from hope.config import Corpus, Hub, Tokens
from hope.data.sources import collect
from hope.data.tokenizer import encode, load_pretrained
from hope.errors import UserError

def attempt(dataset):
    try:
        collection = collect(Corpus(source="hub", hub=Hub(dataset=dataset, revision=REVISION, documents=3)))
        return [collection.documents, collection.origin]
    except UserError as error:
        return str(error)

tokenizer = load_pretrained(Tokens(tokenizer="pretrained", pretrained="me/tokenizer", revision=REVISION))
results = {name: attempt(name) for name in ("me/plain", "me/script", "me/missing")}
print(json.dumps(results | {"tokens": encode(tokenizer, ["abbaab"])[0].tolist()}))
"""


@pytest.mark.slow
def test_the_client_reads_the_pinned_revision_and_runs_nothing(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The client reads the address of the hub when it is imported: hence an interpreter of its own.
    places = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path), "NO_PROXY": "*"}
    command = [sys.executable, "-c", f"REVISION = {REVISION!r}\n{PROGRAM}"]
    environment = os.environ | places | {"HF_HUB_OFFLINE": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    documents, origin = results["me/plain"]
    assert documents == [[f"train:{number}", f"document {number}"] for number in range(3)]
    assert origin == {"dataset": "me/plain", "name": None, "split": "train", "revision": REVISION, "rows": 3}
    assert results["me/script"].startswith("corpus.hub: 'me/script' cannot be read (Dataset scripts are no longer")
    assert results["me/missing"].startswith("corpus.hub: 'me/missing' cannot be read (")
    assert results["tokens"] == [0, 1, 1, 0, 0, 1]


def test_a_dataset_is_asked_for_at_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(dataset: str, **options: object) -> list[dict[str, str]]:
        asked.append((dataset, options))
        return [{"text": "a"}, {"text": " "}, {"text": "b"}, {"text": "c"}]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    collection = collect(Corpus(source="hub", hub=Hub(dataset="me/plain", revision=REVISION, documents=3)))
    assert asked == [("me/plain", {"name": None, "split": "train", "revision": REVISION, "streaming": True})]
    assert (collection.documents, collection.empty) == ([("train:0", "a"), ("train:2", "b")], 1)
    assert collection.origin["revision"] == REVISION and collection.origin["rows"] == 3


def test_a_local_folder_in_the_layout_of_the_hub_is_read_and_a_wrong_name_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Keep the client's lock files out of the user's cache.
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "rows.jsonl").write_bytes(ROWS)
    configurations = "".join(f"- config_name: {name}\n  data_files: rows.jsonl\n" for name in ("one", "two"))
    (folder / "README.md").write_text(f"---\nconfigs:\n{configurations}---\n")
    content = {"dataset": str(folder), "name": "two", "revision": REVISION, "documents": 7}
    collection = collect(Corpus(source="hub", hub=Hub(**content)))
    assert collection.documents == [(f"train:{number}", f"document {number}") for number in range(7)]
    assert (collection.origin["revision"], collection.origin["dataset"]) == (None, "mine")
    for change, expected in (
        ({"name": None}, "Config name is missing"),
        ({"split": "trian"}, "trian"),
        (
            {"text_field": "txt"},
            "no field 'txt' (did you mean 'text'?); fields are text, id: set corpus.hub.text_field",
        ),
        ({"text_field": "id"}, "holds int, not text"),
    ):
        with pytest.raises(UserError, match=r"^corpus\.hub: [^\n]*$") as caught:
            collect(Corpus(source="hub", hub=Hub(**(content | change))))
        assert expected in str(caught.value)


def test_without_a_connection_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"^corpus\.hub: 'me/plain' cannot be read \([^\n]*connection[^\n]*$"):
        collect(Corpus(source="hub", hub=Hub(dataset="me/plain", revision=REVISION)))
