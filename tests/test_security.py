"""What SECURITY.md promises, where the text of the source shows it, and secrets."""

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hope.cli import main
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.files import sha256_of_json
from hope.tracking.client import connect
from hope.training.devices import CannotRunHere, claimed_device
from tests.conftest import ROOT

SOURCES = [*sorted((ROOT / "hope").rglob("*.py")), ROOT / "envs" / "pin.py"]
NEVER = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "marshal.loads", "yaml.unsafe_load"}


def calls(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name of each function that a file calls, and its keyword arguments as written."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {str(each.arg): ast.unparse(each.value) for each in node.keywords}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_runs_what_a_user_gives(path: Path) -> None:
    for name, keywords in calls(path):
        assert name not in NEVER
        assert keywords.get("shell", "False") == "False"
        assert keywords.get("trust_remote_code", "False") == "False"
        assert keywords.get("allow_pickle", "False") == "False"
        if name == "torch.load":
            assert keywords.get("weights_only") == "True"


@pytest.mark.parametrize(
    "address", ["https://me:hidden@host/x", "HTTP://me:hidden@host", "http://me:hid/den@host", "me:hidden@host"]
)
def test_a_password_in_an_address_is_refused_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(f"study: mine\ntracking: {{uri: '{address}'}}\n", encoding="utf-8")
    assert main(["check", "--configfile", str(path)]) == 1
    error = capsys.readouterr().err
    assert "tracking.uri: a user or password here would be written into the results; set MLFLOW_TRACKING_USER" in error
    assert "hid" not in error
    with pytest.raises(UserError, match="tracking.uri: a user or password here") as caught:
        connect(tmp_path, address)
    assert "hid" not in str(caught.value)


def test_a_manifest_names_files_of_its_own_folder_alone(tmp_path: Path, tiny_data: Path) -> None:
    manifest = json.loads((tiny_data / "train" / "manifest.json").read_text(encoding="utf-8"))
    manifest["shards"][0]["file"] = "../secret.bin"
    del manifest["digest"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest | {"digest": sha256_of_json(manifest)}))
    with pytest.raises(UserError, match=r"names '\.\./secret\.bin', no file of its folder"):
        TokenCorpus.open(tmp_path)


def test_locks_of_another_user_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(CannotRunHere, match="belongs to another user"), claimed_device(["GPU-1"], 0, tmp_path):
        pass
