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
from hope.tracking import study_run
from hope.tracking.provenance import code_digest
from hope.tracking.run_content import RunContent
from hope.tracking.store import find_study, initialise, sync
from hope.tracking.summaries import Point

MODELS = ("main/rope/seed0", "main/hope/seed0")
STAGES = ("extrapolate", "retrieve")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_ino, digest(path)) for path in files}


def live_run(study: Path, arm: config.Arm, seed: int) -> str:
    """Write the run of a model that trains, with two points."""
    from hope.tracking.client import connect
    from hope.tracking.runs import LiveRun

    settings = arm.train_stage("hope", seed).model_dump(mode="json", by_alias=True)
    run = LiveRun(connect(study, None), StudyPaths(study).run("main", "hope", seed), settings)
    run.send([{"step": step, "time": float(step), "metrics": {"loss": 1.0}} for step in (2, 3)])
    return run.id


def test_every_model_stage_and_the_study_has_one_run(synced: Path) -> None:
    store = Store(synced)
    runs = store.runs()
    assert set(runs) == {"study", *MODELS, *(f"{model}/{stage}" for model in MODELS for stage in STAGES)}
    for key, run in runs.items():
        tags, (model, _, stage) = store.of("tags", run), key.rpartition("/")
        nested = stage in STAGES
        assert store.status(run) == "FINISHED"
        assert tags.get("mlflow.parentRunId") == (runs[model] if nested else None)
        assert tags.get("code") == (None if key == "study" else code_digest(stage if nested else "train"))
        if key != "study":
            assert "/".join((tags["arm"], tags["encoding"], f"seed{tags['seed']}")) == (model if nested else key)
    (experiment,) = store.rows("SELECT name, artifact_location FROM experiments WHERE lifecycle_stage = 'active'")
    assert experiment == ("small", "mlflow-artifacts:/small")


def test_params_and_metrics_are_those_of_the_files(synced: Path) -> None:
    store = Store(synced)
    runs = store.runs()
    params = store.of("params", runs["main/hope/seed0"])
    expected = {
        "encoding.settings.cutoff": "1.0",
        "training.length": "16",
        "model.kv_heads": "null",
        "training.betas": "[0.9, 0.95]",
    }
    assert params | expected == params
    assert store.of("params", runs["main/hope/seed0/retrieve"])["retrieval.prompts"] == "400"
    assert store.of("params", runs["study"])["arms.main.encodings"] == '["rope", "hope"]'

    history = pd.read_parquet(synced / "models/main/hope/seed0/history.parquet")
    for name in ("loss", "tokens_per_second"):
        points = [(row.step, getattr(row, name), round(row.time * 1000)) for row in history.itertuples()]
        assert store.points(runs["main/hope/seed0"], name) == points
    assert store.points(runs["main/hope/seed0"], "synthetic_loss") == []  # it is not a number throughout

    def value(run: str, name: str) -> float:
        ((_, number, _),) = store.points(runs[run], name)
        return number

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
    assert tags["claim_6"] == "supported"
    lines = tags["mlflow.note.content"].replace("\u00a0", "").splitlines()
    for line in (
        "| 6. Extrapolation | **supported** | -0.5 | -0.7 to -0.3 | nats |",
        "| arm | encoding | seeds | loss within L | loss from 2L to 4L | repeat accuracy at L |",
        "| main | hope | 1 | 2.75 | 5.25 | 0.75 |",
        f"[Final report](#/experiments/1/runs/{run}/artifacts/report/index.html)",
    ):
        assert line in lines


def test_the_table_of_encodings_does_not_mix_arms() -> None:
    def model(arm: str, encoding: str, loss: float) -> RunContent:
        point = Point("extrapolation/loss_within", 0, loss, 0)
        return RunContent("", "", tags={"arm": arm, "encoding": encoding}, points=[point])

    models = [model("text", "hope", 1.0), model("text", "hope", 2.0), model("text", "rope", 3.0)]
    lines = [line.replace("\u00a0", "") for line in study_run._encodings([model("retrieval", "hope", 4.0), *models])]
    rows = [line for line in lines if line.startswith(("| text ", "| retrieval "))]
    assert rows == ["| retrieval | hope | 1 | 4 |", "| text | hope | 2 | 1.5 |", "| text | rope | 1 | 3 |"]


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
    data = [f"data/{arm.data_key}/{name}" for name in ("corpus/corpus.json", "train/manifest.json")]
    data.append(f"data/{arm.data_key}/validation/manifest.json")
    evaluation = "evaluation/main/rope/seed0"
    for key, folder, *names in (
        (MODELS[0], f"models/{MODELS[0]}", "model.safetensors", "config.json", "history.parquet", "run.json"),
        (f"{MODELS[0]}/extrapolate", evaluation, "extrapolation.parquet", "context.parquet", "extrapolation.json"),
        (f"{MODELS[0]}/retrieve", evaluation, "retrieval.parquet", "retrieval.json"),
        ("study", ".", "study.json", "claims.json", "report/index.html", "figures/curve.svg", *data),
    ):
        files = store.files(runs[key])
        listing = json.loads(files.pop("digests.json").read_text())
        assert set(files) == set(listing) == set(names)
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


def test_a_changed_model_is_written_anew_and_one_without_files_goes(synced: Path) -> None:
    store = Store(synced)
    before = store.runs()
    model, folder = "main/hope/seed0", synced / "models/main/hope/seed0"
    record, history = read_json(folder / "run.json"), pd.read_parquet(folder / "history.parquet")
    record["settings"]["seed"] = 5
    write_json(folder / "run.json", record)
    history[:2].assign(loss=history["loss"] + 1).to_parquet(folder / "history.parquet")
    for room in ("models", "evaluation"):
        shutil.rmtree(synced / room / "main" / "rope")
    sync(synced)
    after = store.runs()
    assert set(after) == {"study", model, *(f"{model}/{stage}" for stage in STAGES)}
    assert not set(after.values()) & set(before.values())
    assert store.of("tags", after[f"{model}/retrieve"])["mlflow.parentRunId"] == after[model]
    losses = pd.read_parquet(folder / "history.parquet")["loss"]
    assert [loss for _, loss, _ in store.points(after[model], "loss")] == list(losses)
    assert store.of("params", after[model])["seed"] == "5"
    assert sorted(path.name for path in store.artifacts.iterdir()) == sorted(after.values())


def test_models_that_the_config_no_longer_lists_are_left_out(synced: Path) -> None:
    store = Store(synced)
    shutil.copytree(synced / "models/main", synced / "models/dropped")
    settings = read_json(synced / "study.json")
    settings["arms"]["main"]["encodings"] = ["rope"]
    write_json(synced / "study.json", settings)
    sync(synced)
    assert set(store.runs()) == {"study", "main/rope/seed0", *(f"main/rope/seed0/{stage}" for stage in STAGES)}
    assert (synced / "models/main/hope/seed0/run.json").exists()


def test_files_take_the_place_of_a_live_run_and_of_a_sync_cut_short(
    empty_store: Path, arm: config.Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    live_run(empty_store, arm, 0)
    training = live_run(empty_store, arm, 1)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "disk full")))
        with pytest.raises(OSError, match="disk full"):
            sync(empty_store)
    sync(empty_store)
    store = Store(empty_store)
    runs = store.runs()
    assert runs.pop("main/hope/seed1") == training, "it still trains"
    assert store.status(training) == "RUNNING"
    assert len(runs) == 7
    assert {store.status(run) for run in runs.values()} == {"FINISHED"}
    history = pd.read_parquet(empty_store / "models/main/hope/seed0/history.parquet")
    points = store.points(runs["main/hope/seed0"], "loss")
    assert [(step, loss) for step, loss, _ in points] == list(zip(history["step"], history["loss"], strict=True))


def test_a_deleted_store_is_restored_by_copies_where_links_are_not_possible(
    synced: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def facts() -> dict[str, tuple]:
        store = Store(synced)
        return {
            key: (store.of("params", run), sorted(store.files(run)), store.points(run, "extrapolation/loss_within"))
            for key, run in store.runs().items()
        }

    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    before = facts()
    for name in ("mlflow", "mlflow/artifacts"):  # or the artifacts alone
        shutil.rmtree(synced / name)
        sync(synced)
        assert facts() == before
    copied = Store(synced).files(Store(synced).runs()["study"])["report/index.html"]
    assert copied.read_text() == (synced / "report/index.html").read_text()
    sync(synced)
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
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI", "GITHUB"))}
    environment = {**kept, "HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "0 changed" in done.stdout
    assert "REACHED OUT" not in done.stdout
    assert not list((tmp_path / "home").rglob("telemetry*"))


def test_a_model_has_its_corpus_as_a_dataset(synced: Path, arm: config.Arm) -> None:
    store = Store(synced)
    (dataset,) = store.rows("SELECT dataset_uuid, name, digest FROM datasets")
    assert dataset[1:] == (arm.data_key, "c" * 36)
    inputs = store.rows("SELECT destination_id FROM inputs WHERE source_id = ?", dataset[0])
    assert {run for (run,) in inputs} == {store.runs()[model] for model in MODELS}
    assert store.rows("SELECT DISTINCT name, value FROM input_tags") == [("mlflow.data.context", "training")]
