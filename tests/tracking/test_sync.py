import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from store_look import Store

from hope import config
from hope.errors import UserError
from hope.files import read_json, write_json, write_text
from hope.paths import StudyPaths
from hope.tracking.provenance import code_digest
from hope.tracking.store import find_study, initialise, sync
from hope.tracking.study_run import read_study

STAGES = ("extrapolate", "retrieve")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_ino, digest(path)) for path in files}


def test_every_model_stage_and_the_study_has_one_run(synced: Path) -> None:
    store = Store(synced)
    runs = store.runs()
    models = {"main/rope/seed0", "main/hope/seed0"}
    assert set(runs) == {"study", *models, *(f"{model}/{stage}" for model in models for stage in STAGES)}
    for model in models:
        for stage in STAGES:
            assert store.of("tags", runs[f"{model}/{stage}"])["mlflow.parentRunId"] == runs[model]
    for key, run in runs.items():
        assert store.status(run) == "FINISHED"
        stage = key.rpartition("/")[2] if key.count("/") == 3 else "train"
        found = store.of("tags", run).get("code")
        assert found == (None if key == "study" else code_digest(stage)), key
    assert store.of("tags", runs["main/hope/seed0"])["arm"] == "main"
    assert store.of("tags", runs["main/hope/seed0"])["encoding"] == "hope"
    assert store.of("tags", runs["main/hope/seed0"])["seed"] == "0"
    (experiment,) = store.rows("SELECT name, artifact_location FROM experiments WHERE lifecycle_stage = 'active'")
    assert experiment == ("small", "mlflow-artifacts:/small")


def test_params_and_metrics_are_those_of_the_files(synced: Path) -> None:
    store = Store(synced)
    runs = store.runs()
    params = store.of("params", runs["main/hope/seed0"])
    assert params["encoding.settings.cutoff"] == "1.0"
    assert params["training.length"] == "16"
    assert params["model.kv_heads"] == "null"
    assert params["training.betas"] == "[0.9, 0.95]"
    assert store.of("params", runs["main/hope/seed0/retrieve"])["retrieval.prompts"] == "400"
    assert store.of("params", runs["study"])["arms.main.encodings"] == '["rope", "hope"]'

    history = pd.read_parquet(synced / "models/main/hope/seed0/history.parquet")
    for name in ("loss", "tokens_per_second"):
        expected = [(row.step, getattr(row, name), round(row.time * 1000)) for row in history.itertuples()]
        assert store.points(runs["main/hope/seed0"], name) == expected
    assert store.points(runs["main/hope/seed0"], "synthetic_loss") == []  # it is not a number throughout

    def value(run: str, name: str) -> float:
        ((_, found, _),) = store.points(runs[run], name)
        return found

    # Bins of 8 at 2 + start / 16, documents 0 and 1 nat above: within L (0 + 8) / 32 + 2.5, and so on.
    for run in ("main/hope/seed0", "main/hope/seed0/extrapolate"):
        assert value(run, "extrapolation/loss_within") == pytest.approx(2.75)
        assert value(run, "extrapolation/octave_loss_2L") == pytest.approx(3.75)
        assert value(run, "extrapolation/octave_loss_4L") == pytest.approx(5.25)
        assert value(run, "context/context_gain_2L") == pytest.approx(0.25)
    curve = {step: loss for step, loss, _ in store.points(runs["main/hope/seed0/extrapolate"], "by_position/loss")}
    assert curve == pytest.approx({8 * number: 2.0 + number / 2 for number in range(1, 9)})
    assert value("main/hope/seed0/retrieve", "retrieval/accuracy_repeat_1L") == pytest.approx(0.75)
    assert value("main/hope/seed0/retrieve", "retrieval/chance_repeat") == pytest.approx(0.25)
    assert value("study", "study_claims/6_estimate") == -0.5


def test_the_study_run_reads_well(synced: Path) -> None:
    store = Store(synced)
    run = store.runs()["study"]
    tags = store.of("tags", run)
    note = tags["mlflow.note.content"].replace("\u00a0", "")
    assert tags["claim_6"] == "supported"
    assert "| 6. Extrapolation | **supported** | -0.5 | -0.7 to -0.3 | nats |" in note
    assert "| arm | encoding | seeds | loss within L | loss from 2L to 4L | repeat accuracy at L |" in note
    assert "| main | hope | 1 | 2.75 | 5.25 | 0.75 |" in note
    assert f"[Final report](#/experiments/1/runs/{run}/artifacts/report/index.html)" in note


def test_the_table_of_encodings_does_not_mix_arms(study: Path) -> None:
    settings = read_json(study / "study.json")
    both = {name: settings["arms"]["main"] for name in ("text", "retrieval")}
    write_json(study / "study.json", {**settings, "arms": both})
    for room in ("models", "evaluation"):
        shutil.copytree(study / room / "main", study / room / "text")
        (study / room / "main").rename(study / room / "retrieval")
    path = study / "evaluation/retrieval/hope/seed0/extrapolation.parquet"
    losses = pd.read_parquet(path)
    losses.assign(nll=losses["nll"] + losses["tokens"]).to_parquet(path)
    path = study / "evaluation/retrieval/hope/seed0/retrieval.parquet"
    pd.read_parquet(path).assign(accuracy=0.25).to_parquet(path)
    # A second model of one arm is averaged with its own alone.
    for room in ("models", "evaluation"):
        shutil.copytree(study / room / "text/hope/seed0", study / room / "text/hope/seed1")
    path = study / "evaluation/text/hope/seed1/retrieval.parquet"
    pd.read_parquet(path).assign(accuracy=0.5).to_parquet(path)
    note = read_study(study)[-1].note.replace("\u00a0", "")
    rows = [line for line in note.splitlines() if line.startswith(("| text ", "| retrieval "))]
    assert rows == [
        "| retrieval | hope | 1 | 3.75 | 6.25 | 0.25 |",
        "| retrieval | rope | 1 | 2.75 | 5.25 | 0.75 |",
        "| text | hope | 2 | 2.75 | 5.25 | 0.625 |",
        "| text | rope | 1 | 2.75 | 5.25 | 0.75 |",
    ]


def test_tags_of_ours_follow_and_those_of_a_user_stay(synced: Path) -> None:
    from hope.tracking.client import connect

    store = Store(synced)
    connect(synced, None).client.set_tag(store.runs()["study"], "mine", "keep")
    claims = read_json(synced / "claims.json")
    claims["claims"][0] |= {"id": "7", "verdict": "inconclusive", "estimate": None, "low": None, "high": None}
    write_json(synced / "claims.json", claims)
    sync(synced)
    tags = store.of("tags", store.runs()["study"])
    assert (tags["claim_7"], tags["mine"]) == ("inconclusive", "keep")
    assert "claim_6" not in tags


def test_artifacts_are_links_to_the_files_with_their_digests(synced: Path, arm: config.Arm) -> None:
    store = Store(synced)
    runs = store.runs()
    data = f"data/{arm.data_key}"
    expected = {
        "main/rope/seed0": (
            "models/main/rope/seed0",
            {"model.safetensors", "config.json", "history.parquet", "run.json"},
        ),
        "main/rope/seed0/extrapolate": (
            "evaluation/main/rope/seed0",
            {"extrapolation.parquet", "context.parquet", "extrapolation.json"},
        ),
        "main/rope/seed0/retrieve": ("evaluation/main/rope/seed0", {"retrieval.parquet", "retrieval.json"}),
        "study": (
            ".",
            {"study.json", "claims.json", f"{data}/corpus/corpus.json", "report/index.html", "figures/curve.svg"}
            | {f"{data}/{split}/manifest.json" for split in ("train", "validation")},
        ),
    }
    for key, (folder, names) in expected.items():
        files = store.files(runs[key])
        listing = json.loads(files.pop("digests.json").read_text())
        assert set(files) == set(listing) == names
        for name, path in files.items():
            assert listing[name] == {"sha256": digest(synced / folder / name), "bytes": path.stat().st_size}
            assert digest(path) == listing[name]["sha256"]
    name = "report/index.html"
    write_text(synced / name, "<h1>a newer report</h1>")
    sync(synced)
    after = store.runs()
    assert {key for key in runs if runs[key] != after[key]} == {"study"}
    linked = store.files(after["study"])[name]
    assert linked.samefile(synced / name)
    assert json.loads((linked.parents[1] / "digests.json").read_text())[name]["sha256"] == digest(synced / name)


def test_a_second_sync_changes_nothing(synced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Store(synced).everything(), tree(synced / "mlflow/artifacts")
    sync(synced)
    assert " 0 changed" in capsys.readouterr().out
    assert (Store(synced).everything(), tree(synced / "mlflow/artifacts")) == before


def test_a_changed_model_is_written_anew_with_its_stages(synced: Path) -> None:
    store = Store(synced)
    before = store.runs()
    folder = synced / "models/main/hope/seed0"
    record, history = read_json(folder / "run.json"), pd.read_parquet(folder / "history.parquet")
    record["settings"]["seed"] = 5
    write_json(folder / "run.json", record)
    history[:2].assign(loss=history["loss"] + 1).to_parquet(folder / "history.parquet")
    sync(synced)
    after, model = store.runs(), "main/hope/seed0"
    assert {key for key in before if before[key] != after[key]} == {model, *(f"{model}/{stage}" for stage in STAGES)}
    assert store.of("tags", after[f"{model}/retrieve"])["mlflow.parentRunId"] == after[model]
    losses = pd.read_parquet(folder / "history.parquet")["loss"]
    assert [loss for _, loss, _ in store.points(after[model], "loss")] == list(losses)
    assert store.of("params", after[model])["seed"] == "5"
    assert sorted(path.name for path in store.artifacts.iterdir()) == sorted(after.values())


def test_the_files_take_the_place_of_live_runs(empty_store: Path, arm: config.Arm) -> None:
    from hope.tracking.client import connect
    from hope.tracking.runs import LiveRun

    for seed in (0, 1):
        settings = arm.train_stage("hope", seed).model_dump(mode="json", by_alias=True)
        run = LiveRun(connect(empty_store, None), StudyPaths(empty_store).run("main", "hope", seed), settings)
        run.send([{"step": step, "time": float(step), "metrics": {"loss": 1.0}} for step in (2, 3)])
    sync(empty_store)
    store = Store(empty_store)
    runs = store.runs()
    assert runs["main/hope/seed1"] == run.id, "it still trains"
    assert store.status(run.id) == "RUNNING"
    history = pd.read_parquet(empty_store / "models/main/hope/seed0/history.parquet")
    points = store.points(runs["main/hope/seed0"], "loss")
    assert [(step, loss) for step, loss, _ in points] == list(zip(history["step"], history["loss"], strict=True))
    assert store.status(runs["main/hope/seed0"]) == "FINISHED"


def test_what_has_no_files_any_more_goes(synced: Path) -> None:
    for room in ("models", "evaluation"):
        shutil.rmtree(synced / room / "main" / "hope")
    (synced / "figures/curve.svg").unlink()
    sync(synced)
    store = Store(synced)
    assert set(store.runs()) == {"study", "main/rope/seed0", *(f"main/rope/seed0/{stage}" for stage in STAGES)}
    assert "figures/curve.svg" not in store.files(store.runs()["study"])
    assert sorted(path.name for path in store.artifacts.iterdir()) == sorted(store.runs().values())


def test_a_deleted_store_is_restored(synced: Path) -> None:
    def facts() -> dict[str, tuple]:
        store = Store(synced)
        return {
            key: (store.of("params", run), sorted(store.files(run)), store.points(run, "extrapolation/loss_within"))
            for key, run in store.runs().items()
        }

    before = facts()
    for name in ("mlflow", "mlflow/artifacts"):  # or the files alone
        shutil.rmtree(synced / name)
        sync(synced)
        assert facts() == before


def test_a_sync_that_was_cut_short_is_completed(empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "disk full")))
        with pytest.raises(OSError, match="disk full"):
            sync(empty_store)
    sync(empty_store)
    store = Store(empty_store)
    assert len(store.runs()) == 7
    assert {store.status(run) for run in store.runs().values()} == {"FINISHED"}


def test_artifacts_are_copied_where_links_are_not_possible(
    empty_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    sync(empty_store)
    store = Store(empty_store)
    copied, original = store.files(store.runs()["study"])["report/index.html"], empty_store / "report/index.html"
    assert copied.read_text() == original.read_text()
    assert not copied.samefile(original)
    sync(empty_store)
    assert " 0 changed" in capsys.readouterr().out


def test_an_unknown_study_is_one_line(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    with pytest.raises(UserError, match="no such study; results/ has none yet"):
        sync("small-one")
    study.rename(tmp_path / "results/small")
    assert find_study("small") == Path("results/small")
    assert find_study(tmp_path / "results/small") == tmp_path / "results/small"
    with pytest.raises(UserError, match=r"smal: there is no such study \(did you mean 'small'\?\); known are small"):
        sync("smal")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("models/main/hope/seed0/history.parquet", b""),
        ("models/main/hope/seed0/run.json", b"{}"),
        ("models/main/hope/seed0/run.json", b"no record"),
        ("evaluation/main/hope/seed0/context.parquet", b"no table"),
        ("claims.json", b"{}"),
    ],
)
def test_a_damaged_file_is_one_line_and_changes_nothing(synced: Path, name: str, content: bytes) -> None:
    before = Store(synced).everything()
    (synced / name).write_bytes(content)
    with pytest.raises(UserError, match="main/hope/seed0|claims.json") as caught:
        sync(synced)
    assert len(str(caught.value).splitlines()) == 1
    assert Store(synced).everything() == before


def test_models_of_before_there_were_arms_are_one_line_and_their_runs_stay(synced: Path) -> None:
    before = Store(synced).everything()
    for room in ("models", "evaluation"):
        (synced / room / "main").rename(synced / "aside")
        (synced / room).rmdir()
        (synced / "aside").rename(synced / room)
    with pytest.raises(UserError, match="before studies had arms; take it over with: python -m hope adopt") as caught:
        sync(synced)
    assert len(str(caught.value).splitlines()) == 1
    assert Store(synced).everything() == before


def test_a_store_that_fails_is_one_line(synced: Path) -> None:
    (synced / "mlflow/mlflow.db").write_bytes(b"this is no database, though it is long enough to be one" * 100)
    for call in (sync, initialise):
        with pytest.raises(UserError, match="view of the study's files") as caught:
            call(synced, None)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(UserError, match="http://127.0.0.1:9: no answer; see that it runs"):
        sync(synced, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="expected the address of an MLflow server"):
        sync(synced, "somewhere")


def test_initialise_is_idempotent_and_keeps_paths_out(synced: Path) -> None:
    before = Store(synced).everything()
    initialise(synced, None)
    assert Store(synced).everything() == before
    assert str(Path.cwd()).encode() not in (synced / "mlflow/mlflow.db").read_bytes()


def test_nothing_is_reported_to_anyone(synced: Path, tmp_path: Path) -> None:
    code = f"""
import socket, threading
def refuse(self, address):
    if self.family != socket.AF_UNIX:
        print("REACHED OUT", address, flush=True)
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = lambda *a, **k: refuse(socket.socket(), a)
from hope.tracking.store import sync
sync({str(synced)!r})
for thread in threading.enumerate():
    if thread is not threading.current_thread() and not thread.daemon:
        thread.join(5)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI", "GITHUB"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "0 changed" in done.stdout
    assert "REACHED OUT" not in done.stdout
    assert not list((tmp_path / "home").rglob("telemetry*"))
