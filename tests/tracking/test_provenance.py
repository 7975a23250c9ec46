import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import grimp
import pytest

from hope.errors import UserError
from hope.files import check_unaltered, write_json
from hope.tracking import provenance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a made-up package in the place of this one."""
    folder = tmp_path / "project" / "package"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "inner" / "code.py").write_text("x = 1\n")
    (folder / "data.txt").write_text("not code")
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    for cached in (provenance.code_digest, provenance.git_state):
        cached.cache_clear()
    yield folder
    for cached in (provenance.code_digest, provenance.git_state):
        cached.cache_clear()


def code_digest(stage: str) -> str:
    provenance.code_digest.cache_clear()
    return provenance.code_digest(stage)


def test_code_digest_is_that_of_names_and_contents(package: Path) -> None:
    def of(text: bytes) -> str:
        return hashlib.sha256(text).hexdigest()

    expected = of(f"__init__.py\0{of(b'')}\ninner/code.py\0{of(b'x = 1' + bytes([10]))}\n".encode())
    assert code_digest("judge") == expected
    (package / "data.txt").write_text("still not code")
    assert code_digest("judge") == expected
    digests = {expected}
    for change in (
        lambda: (package / "inner" / "code.py").write_text("x = 2\n"),
        lambda: (package / "inner" / "code.py").rename(package / "inner" / "other.py"),
        lambda: (package / "more.py").write_text(""),
    ):
        change()
        digests.add(code_digest("judge"))
    assert len(digests) == 4


def test_a_stage_depends_on_its_own_rooms_alone(package: Path) -> None:
    before = {stage: code_digest(stage) for stage in ("train", "analyze-attention")}
    (package / "analysis").mkdir()
    (package / "analysis" / "new.py").write_text("")
    (package / "cli.py").write_text("")
    assert code_digest("train") == before["train"]
    assert code_digest("analyze-attention") != before["analyze-attention"]


def test_the_rooms_of_a_stage_are_those_that_it_imports() -> None:
    graph = grimp.build_graph("hope")
    graph.add_module("hope.encodings.family")  # named by the catalogue, imported where a model is built
    graph.add_import(importer="hope.encodings.registry", imported="hope.encodings.family")
    # Tracking watches a training; neither it nor what it reads a study with takes part in it.
    graph.squash_module("hope.tracking")
    graph.remove_module("hope.tracking")
    modules = {
        "prepare-corpus": "hope.data.corpus",
        "tokenize": "hope.data.tokenize",
        "train": "hope.training.launch",
        "analyze-attention": "hope.analysis.attention",
        "analyze-dynamics": "hope.analysis.dynamics",
        "theory": "hope.analysis.theory",
        "extrapolate": "hope.evaluation.extrapolation",
        "retrieve": "hope.evaluation.retrieval",
    }
    assert set(modules) == set(provenance.ROOMS)
    for stage, module in modules.items():
        names = {name.split(".")[1] for name in graph.find_upstream_modules(module) | {module} if "." in name}
        folders = {name for name in names if (provenance.PACKAGE / name).is_dir()}
        assert folders - provenance.GROUND <= provenance.ROOMS[stage], stage


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_state_is_that_of_the_checkout_that_tracks_the_package(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(package.parent), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def state() -> dict:
        provenance.git_state.cache_clear()
        return provenance.git_state()

    none = {"commit": None, "dirty": None}
    assert state() == none
    git("init")
    (package.parent / "other.txt").write_text("")
    git("add", "other.txt")
    git("commit", "-m", "without the package")
    assert state() == none  # as where it is installed below a checkout of something else
    git("add", ".")
    git("commit", "-m", "with it")
    assert state() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (package / "__init__.py").write_text("y = 2\n")
    assert state() == {"commit": git("rev-parse", "HEAD"), "dirty": True}
    monkeypatch.setenv("PATH", "")
    assert state() == none  # without git


def test_record_names_inputs_and_outputs_by_digest(tmp_path: Path) -> None:
    root = tmp_path / "results" / "one"
    for split in ("train", "validation"):
        write_json(root / "data" / split / "manifest.json", {"digest": f"digest of {split}"})
        (root / "data" / split / "shard-00000.bin").write_bytes(bytes(100))
    model, output = root / "models" / "rope" / "seed0", root / "evaluation" / "rope" / "seed0"
    model.mkdir(parents=True)
    output.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "config.json").write_bytes(b"{}")
    (model / "run.json").write_bytes(b"when it was made is no part of what it is")
    (output / "a.parquet").write_bytes(b"abc")
    (output / ".b.parquet.77.part").write_bytes(b"still being written")
    started = time.time() - 5
    outputs = [*output.iterdir(), output / "gone.parquet"]
    found = provenance.record("extrapolate", {"a": [1]}, [model, root / "data"], outputs, started)

    sha = hashlib.sha256(b"abc").hexdigest()
    assert found["outputs"] == {"evaluation/rope/seed0/a.parquet": {"sha256": sha, "bytes": 3}}
    splits = {f"{split}/manifest.json": f"digest of {split}" for split in ("train", "validation")}
    assert found["inputs"]["data"] == {"manifests": splits}
    files = found["inputs"]["models/rope/seed0"]["files"]
    assert files["model.safetensors"] == {"sha256": hashlib.sha256(b"weights").hexdigest(), "bytes": 7}
    assert set(files) == {"model.safetensors", "config.json"}
    assert found["stage"] == "extrapolate"
    assert found["settings"] == {"a": [1]}
    assert found["settings_sha256"] == hashlib.sha256(b'{"a": [1]}').hexdigest()
    start, end = (datetime.fromisoformat(found[key]) for key in ("started", "ended"))
    assert abs(start.timestamp() - started) < 0.01
    assert start.tzinfo == UTC
    assert abs((end - start).total_seconds() - found["seconds"]) < 0.01
    assert 5 <= found["seconds"] < 60
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["packages"]["pydantic"].count(".") >= 1
    text = json.dumps(found)
    assert str(tmp_path) not in text
    assert socket.gethostname() not in text or len(socket.gethostname()) < 4


def test_inputs_that_are_files_folders_or_gone(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_bytes(b"a")
    a = {"sha256": hashlib.sha256(b"a").hexdigest(), "bytes": 1}
    assert provenance.describe_input(tmp_path / "folder" / "a.txt") == a
    assert provenance.describe_input(tmp_path / "folder") == {"files": {"a.txt": a}}
    assert provenance.describe_input(tmp_path / "gone") == {"files": {}}


def test_importing_tracking_loads_nothing_heavy() -> None:
    code = (
        "import sys, hope.tracking.provenance, hope.tracking.store, hope.tracking.live, hope.tracking.server;"
        "hope.tracking.provenance.record('x', {}, [], [], 0.0);"
        "print([name for name in ('mlflow', 'torch', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    model, data = tmp_path / "models" / "a", tmp_path / "data"
    files = [model / "weights.bin", model / "snapshots" / "step-1.bin"]
    for path in (*files, data / "text.bin"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())
    record = model / "run.json"
    write_json(record, provenance.record("train", {}, [data / "text.bin"], files, time.time()))
    for path in files:
        check_unaltered(path, [record])
        content = bytearray(path.read_bytes())
        content[3] ^= 1
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{path.name}: altered since .*run.json was written; delete both"):
            check_unaltered(path, [record])
    with pytest.raises(UserError, match="weights.bin: altered"):
        check_unaltered(files[0])
    (model / "other.bin").write_bytes(b"not recorded")
    check_unaltered(model / "other.bin")
    check_unaltered(files[0], [model / "no-such.json"])
    copied = shutil.copytree(model, tmp_path / "elsewhere")
    check_unaltered(copied / "weights.bin")
