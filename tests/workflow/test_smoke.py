"""The smoke study end to end, with the real steps: what a user gets, and what a second run does."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from hope.config import load_study
from hope.files import sha256_of_file
from hope.paths import StudyPaths
from tests.conftest import ROOT

SMOKE = "workflow/presets/smoke.yaml"
EXAMPLE = "examples/my_encoding.yaml"
OWN = "own.yaml"
"""An overlay of the smoke study that adds the user's encoding of the examples."""
CONFIGS = ["--configfile", SMOKE, OWN]
NOT_COPIED = shutil.ignore_patterns("results", ".snakemake", ".venv", ".git", "__pycache__", "*_cache", ".hypothesis")

pytestmark = pytest.mark.timeout(900)


def environment(*folders: Path) -> dict[str, str]:
    """The user's environment, with these folders and the interpreter's first on PATH."""
    first = [*map(str, folders), os.path.dirname(sys.executable)]
    return {**os.environ, "PATH": ":".join([*first, os.environ.get("PATH", "")])}


def reproduce(root: Path, *rest: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hope", "reproduce", *CONFIGS, "--", *rest]
    return subprocess.run(
        command,
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=800,
    )


def dry_run(root: Path, *options: str, overlays: tuple[Path, ...] = (), folders: tuple[Path, ...] = ()) -> str:
    configs = [*CONFIGS, *map(str, overlays)]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--dry-run", *configs, *options]
    run = subprocess.run(
        command,
        cwd=root,
        env=environment(*folders),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyPaths]:
    """Run the smoke study in a copy of the project, kill all of it once amid training, and run it again."""
    root = tmp_path_factory.mktemp("smoke") / "project"
    shutil.copytree(ROOT, root, ignore=NOT_COPIED)
    smoke, example = (yaml.safe_load((root / path).read_text()) for path in (SMOKE, EXAMPLE))
    arms = {"text": {"encodings": [*smoke["arms"]["text"]["encodings"], *example["definitions"]]}}
    own = {"definitions": example["definitions"], "arms": arms}
    (root / OWN).write_text(yaml.safe_dump(own))
    command = [sys.executable, "-m", "hope", "reproduce", *CONFIGS]
    with open(root / "killed.log", "w") as log:
        first = subprocess.Popen(command, cwd=root, env=environment(), stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 300
        while not list((root / "results").glob("smoke/checkpoints/*.lock")) and time.monotonic() < deadline:
            assert first.poll() is None, (root / "killed.log").read_text()
            time.sleep(0.1)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    again = reproduce(root)
    assert again.returncode == 0, again.stdout[-8000:]
    assert "report:" in again.stdout and "make ui" in again.stdout
    return root, StudyPaths(root / "results" / "smoke")


def test_every_model_has_all_of_its_files(finished):
    root, paths = finished
    study = load_study([root / "config.yaml", root / SMOKE, root / OWN])
    assert {"rope", "hope", "learned", "alibi", "mine"} <= set(study.arms["text"].encodings)
    assert {run.arm for run in study.runs()} == {"text", "retrieval"}
    of_model = {"model.safetensors", "config.json", "history.parquet", "run.json"}
    of_retrieval = {"retrieval.parquet", "retrieval.json"}
    for arm, encoding, seed in study.runs():
        run = paths.run(arm, encoding, seed)
        rooms = [folder for folder in (run.model, run.analysis, run.evaluation) if folder.exists()]
        names = {path.name for folder in rooms for path in folder.iterdir()}
        rotary = {f"{name}.parquet" for name in ("components", "activation", "kernel_trained", "intervention")}
        if arm == "retrieval":
            assert names == of_model | of_retrieval
            continue
        assert names == (rotary if study.arms[arm].is_rotary(encoding) else set()) | of_model | of_retrieval | {
            "snapshots",
            "profile.parquet",
            "ushape.parquet",
            "divergence.parquet",
            "provenance.json",
            "dynamics.parquet",
            "dynamics.json",
            "extrapolation.parquet",
            "context.parquet",
            "strided.parquet",
            "extrapolation.json",
        }
    assert not [path for path in paths.root.rglob("*") if path.name.endswith(".part")]


def test_every_claim_has_a_verdict(finished):
    _, paths = finished
    claims = json.loads(paths.claims.read_text())["claims"]
    assert [claim["id"] for claim in claims] == [str(number) for number in range(1, 11)]
    assert {claim["verdict"] for claim in claims} <= {"supported", "contradicted", "inconclusive"}
    assert all(claim["reason"] for claim in claims)


def test_provenance_vouches_for_every_model(finished):
    root, paths = finished
    records = list(paths.root.glob("models/*/*/*/run.json"))
    assert len(records) == len(load_study([root / "config.yaml", root / SMOKE, root / OWN]).runs())
    for record in records:
        content = json.loads(record.read_text())
        text = json.dumps(content["outputs"])
        assert sha256_of_file(record.parent / "model.safetensors") in text
        assert content["code"]


def test_learned_positions_end_with_an_empty_cell(finished):
    _, paths = finished
    table = pd.read_parquet(paths.run("text", "learned", 0).evaluation / "extrapolation.parquet")
    assert table["end"].max() == 32
    other = pd.read_parquet(paths.run("text", "rope", 0).evaluation / "extrapolation.parquet")
    assert other["end"].max() == 4 * 32


def test_the_report_shows_verdicts_and_fetches_nothing(finished):
    _, paths = finished
    pages = sorted(paths.report.glob("*.html"))
    notebooks = {path.with_suffix(".html").name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {page.name for page in pages} == {"index.html"} | notebooks
    for page in pages:
        html = page.read_text()
        fetched = re.findall(r"<(?:script|link|img|iframe|source)[^>]+(?:src|href)=[\"']?(?!data:)([^\"' >]+)", html)
        assert not [address for address in fetched if not address.startswith("#")], page
        assert "@import" not in html and not re.search(r"url\([\"']?(?:https?:)?//", html)
    index = (paths.report / "index.html").read_text()
    assert "inconclusive" in index and index.count("data:image/svg+xml") >= 8


def test_a_second_run_finds_nothing_to_do(finished, conda):
    root, _ = finished
    assert "Nothing to be done" in dry_run(root)
    assert "Nothing to be done" in dry_run(root, "--use-conda", folders=(conda,))


def test_other_evaluation_lengths_train_nothing(finished, tmp_path):
    root, _ = finished
    over = tmp_path / "over.yaml"
    over.write_text("retrieval: {multiples: [0.5, 1.0]}\n")
    changed = dry_run(root, overlays=(over,))
    assert "evaluate_retrieval" in changed
    for rule in ("train_text", "train_retrieval", "analyze_attention", "tokenize_corpus"):
        assert not re.search(rf"^{rule}\s", changed, re.MULTILINE)


def test_a_user_s_encoding_is_trained_judged_and_reported_like_any_other(finished):
    root, paths = finished
    description = json.loads((paths.run("text", "mine", 0).model / "config.json").read_text())
    source = root / "examples" / "my_encoding.py"
    assert description["encoding"]["family"] == "examples.my_encoding:MyEncoding"
    assert description["encoding_source"] == sha256_of_file(source)
    assert "mine" in (paths.report / "index.html").read_text()
    losses = pd.read_parquet(paths.tables / "losses.parquet").set_index(["arm", "measure", "encoding"])
    assert losses.loc[("text", "loss_within", "mine"), "estimate"] > 0


def test_a_change_of_its_file_trains_it_anew_and_nothing_else(finished):
    root, _ = finished
    source = root / "examples" / "my_encoding.py"
    before = source.read_text()
    later = time.time() + 100
    os.utime(source, (later, later))
    assert "Nothing to be done" in dry_run(root)
    try:
        source.write_text(before.replace("free: int = 8", "free: int = 9"))
        planned = dry_run(root)
    finally:
        source.write_text(before)
    assert set(re.findall(r"^train_\w+ +(\d+)$", planned, re.MULTILINE)) == {"1"}
    assert "train mine in text, seed 0" in planned
    assert "Nothing to be done" in dry_run(root)
