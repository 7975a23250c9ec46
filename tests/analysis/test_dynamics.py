"""The analysis at moments of training, against that of the model itself and of its initialisation."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from hope import config
from hope.analysis.attention import analyze
from hope.analysis.dynamics import ALL, write_dynamics
from hope.errors import UserError
from hope.files import read_json, write_json
from hope.model.loading import load_model, save_weights
from hope.paths import SNAPSHOTS, snapshot_file
from tests.analysis.conftest import LENGTH

ASKED = config.Analysis(documents=6, multiples=[1.0, 2.0], queries=4)
STAGE = config.DynamicsStage(analysis=ASKED, snapshots=[5, 10], steps=20, batch_tokens=128)


def keep(folder, step, weights, key="0" * 16):
    save_weights(weights, snapshot_file(folder / SNAPSHOTS, step), fingerprint=key, step=str(step))


@pytest.fixture
def with_snapshots(make_model):
    """Return a function that writes a model with two snapshots: its initial weights, and its last ones times 0.9."""

    def make(encoding):
        folder = make_model(encoding)
        last = load_file(folder / "model.safetensors")
        first = load_file(make_model(encoding, sharp=False) / "model.safetensors")
        keep(folder, 5, first)
        keep(folder, 10, {name: 0.9 * weight for name, weight in last.items()})
        return folder

    return make


def table(folder):
    return pd.read_parquet(folder / "dynamics.parquet")


@pytest.mark.parametrize("encoding", ["rope", "hope", "alibi", "learned"])
def test_the_ends_are_what_the_analysis_says_of_them(with_snapshots, data, folder, encoding):
    model = with_snapshots(encoding)
    write_dynamics(STAGE, model, data, folder)
    analyze(ASKED, model, data, folder)
    found, ushape = table(folder), pd.read_parquet(folder / "ushape.parquet")
    assert sorted(set(zip(found["step"], found["tokens"], strict=True))) == [(0, 0), (5, 640), (10, 1280), (20, 2560)]
    ushape = ushape[ushape["query"] == LENGTH - 1]
    for step, subject in ((0, "initial"), (5, "initial"), (20, "trained")):
        for measure in ("index", "index_without_sink"):
            own = found[(found["step"] == step) & (found["measure"] == measure)]
            expected = ushape[ushape["subject"] == subject].groupby(["layer", "document"])[measure].mean()
            got = own.set_index(["layer", "document"])["value"]
            pd.testing.assert_series_equal(got.sort_index(), expected.sort_index(), check_names=False)


@pytest.mark.parametrize("encoding", ["rope", "hope"])
def test_components_at_the_end_are_those_of_the_analysis(with_snapshots, data, folder, encoding):
    model = with_snapshots(encoding)
    write_dynamics(STAGE, model, data, folder)
    analyze(ASKED, model, data, folder)
    last = table(folder).query("step == 20 and component >= 0")
    components = pd.read_parquet(folder / "components.parquet").groupby("component")[["spread", "activated"]].first()
    for measure in ("spread", "activated"):
        own = last[(last["measure"] == measure) & (last["layer"] == ALL)].set_index("component")["value"]
        np.testing.assert_allclose(own, components[measure].astype(float))
    by_layer = last[(last["measure"] == "spread") & (last["layer"] != ALL)].groupby("component")["value"].mean()
    np.testing.assert_allclose(by_layer, components["spread"])
    assert set(last["document"]) == {ALL}


def test_a_planted_change_of_the_weights_shows_at_its_moment(with_snapshots, data, folder, stock):
    model = with_snapshots("rope")
    write_dynamics(STAGE, model, data, folder)
    found = table(folder)
    trained = load_model(model)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(0.9)
    theirs = stock(trained)
    from hope.data.tokens import TokenCorpus
    from hope.data.windows import evaluation_windows

    cut, documents = evaluation_windows(TokenCorpus.open(data / "validation"), 6, 1, 2 * LENGTH, config.Windows())
    tokens = torch.from_numpy(cut)[:, : LENGTH + 1]
    with torch.no_grad():
        logits = theirs(tokens[:, :-1]).logits
    expected = torch.nn.functional.cross_entropy(logits.mT, tokens[:, 1:], reduction="none").mean(dim=1)
    own = found[(found["step"] == 10) & (found["measure"] == "loss")].set_index("document")["value"]
    np.testing.assert_allclose(own.loc[documents], expected, rtol=1e-5)
    # The steps behind it are moment_columns on the model's own weights again.
    assert not np.allclose(own, found[(found["step"] == 20) & (found["measure"] == "loss")]["value"])


def test_an_encoding_without_components_has_none(with_snapshots, data, folder):
    write_dynamics(STAGE, with_snapshots("alibi"), data, folder)
    assert set(table(folder)["measure"]) == {"loss", "index", "index_without_sink"}
    assert set(table(folder)["component"]) == {ALL}


def test_without_snapshots_the_ends_are_left(make_model, data, folder):
    write_dynamics(STAGE.model_copy(update={"snapshots": []}), make_model("rope"), data, folder)
    assert sorted(set(table(folder)["step"])) == [0, 20]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "there is no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "not a safetensors file"),
        (lambda path: save_file({"other": torch.zeros(2)}, path), "does not fit config.json"),
    ],
)
def test_a_snapshot_that_cannot_be_read_is_one_line(with_snapshots, data, folder, damage, words):
    model = with_snapshots("rope")
    damage(snapshot_file(model / SNAPSHOTS, 10))
    with pytest.raises(UserError, match=rf"step-00000010\.safetensors: {words}"):
        write_dynamics(STAGE, model, data, folder)


def test_a_snapshot_of_another_training_is_refused(with_snapshots, data, folder):
    model = with_snapshots("rope")
    write_json(model / "config.json", read_json(model / "config.json") | {"fingerprint": "1" * 16})
    with pytest.raises(UserError, match=r"step-00000005\.safetensors: kept by another training than that of"):
        write_dynamics(STAGE, model, data, folder)
