"""The analysis at moments of training, against that of the model itself and of its initialisation."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from hope import config
from hope.analysis.attention import WINDOW_SEED, analyze
from hope.analysis.dynamics import ALL, write_dynamics
from hope.data.tokens import TokenCorpus
from hope.data.windows import evaluation_windows
from hope.errors import UserError
from hope.files import read_json, write_json
from hope.model.loading import load_model, save_weights
from hope.paths import SNAPSHOTS, snapshot_file
from tests.analysis.conftest import LENGTH, write_model

ASKED = config.Analysis(documents=6, multiples=[1.0, 2.0], queries=4)
STAGE = config.DynamicsStage(analysis=ASKED, snapshots=[5, 10], steps=20, batch_tokens=128)


def keep(folder, step, weights, key="0" * 16):
    save_weights(weights, snapshot_file(folder / SNAPSHOTS, step), fingerprint=key, step=str(step))


def with_snapshots(parent, encoding):
    """Write a model with two snapshots: its initial weights, and its last ones times 0.9."""
    folder = write_model(parent, encoding)
    last = load_file(folder / "model.safetensors")
    keep(folder, 5, load_file(write_model(parent, encoding, sharp=False) / "model.safetensors"))
    keep(folder, 10, {name: 0.9 * weight for name, weight in last.items()})
    return folder


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    """Models of a rotary encoding and of another one, by name, and the folder of their tables."""
    folders = {}
    for encoding in ("hope", "learned"):
        parent = tmp_path_factory.mktemp(encoding)
        model = with_snapshots(parent, encoding)
        write_dynamics(STAGE, model, data, parent / "tables")
        analyze(ASKED, model, data, parent / "tables")
        folders[encoding] = model, parent / "tables"
    return folders


def table(folder):
    return pd.read_parquet(folder / "dynamics.parquet")


@pytest.mark.parametrize("encoding", ["hope", "learned"])
def test_the_ends_are_those_of_the_analysis(written, encoding):
    folder = written[encoding][1]
    moments, ushape = table(folder), pd.read_parquet(folder / "ushape.parquet")
    steps = sorted(set(zip(moments["step"], moments["tokens"], strict=True)))
    assert steps == [(0, 0), (5, 640), (10, 1280), (20, 2560)]
    ushape = ushape[ushape["query"] == LENGTH - 1]
    for step, subject in ((0, "initial"), (5, "initial"), (20, "trained")):
        for measure in ("index", "index_without_sink"):
            own = moments[(moments["step"] == step) & (moments["measure"] == measure)]
            expected = ushape[ushape["subject"] == subject].groupby(["layer", "document"])[measure].mean()
            got = own.set_index(["layer", "document"])["value"]
            pd.testing.assert_series_equal(got.sort_index(), expected.sort_index(), check_names=False)


def test_components_at_the_end_are_those_of_the_analysis_and_others_have_none(written):
    folder = written["hope"][1]
    last = table(folder).query("step == 20 and component >= 0")
    components = pd.read_parquet(folder / "components.parquet").groupby("component")[["spread", "activated"]].first()
    for measure in ("spread", "activated"):
        own = last[(last["measure"] == measure) & (last["layer"] == ALL)].set_index("component")["value"]
        np.testing.assert_allclose(own, components[measure].astype(float))
    by_layer = last[(last["measure"] == "spread") & (last["layer"] != ALL)].groupby("component")["value"].mean()
    np.testing.assert_allclose(by_layer, components["spread"])
    assert set(last["document"]) == {ALL}
    learned = table(written["learned"][1])
    assert set(learned["measure"]) == {"loss", "index", "index_without_sink"}
    assert set(learned["component"]) == {ALL}


def test_a_planted_change_of_the_weights_shows_at_its_moment(written, data, stock):
    model, folder = written["hope"]
    moments = table(folder)
    trained = load_model(model)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(0.9)
    corpus = TokenCorpus.open(data / "validation")
    cut, documents = evaluation_windows(corpus, 6, 1, 2 * LENGTH, config.Windows(), seed=WINDOW_SEED)
    tokens = torch.from_numpy(cut)[:, : LENGTH + 1]
    with torch.no_grad():
        logits = stock(trained)(tokens[:, :-1]).logits
    expected = torch.nn.functional.cross_entropy(logits.mT, tokens[:, 1:], reduction="none").mean(dim=1)
    losses = {
        step: rows.set_index("document")["value"] for step, rows in moments.query("measure == 'loss'").groupby("step")
    }
    np.testing.assert_allclose(losses[10].loc[documents], expected, rtol=1e-5)
    assert not np.allclose(losses[10], losses[20])


def test_without_snapshots_the_ends_are_left(make_model, data, folder):
    write_dynamics(STAGE.model_copy(update={"snapshots": []}), make_model("alibi"), data, folder)
    assert sorted(set(table(folder)["step"])) == [0, 20]


def test_a_snapshot_that_is_damaged_or_of_another_training_is_one_line(data, folder):
    model = with_snapshots(folder, "alibi")
    path = snapshot_file(model / SNAPSHOTS, 10)
    for damage, words in (
        (lambda: path.write_bytes(path.read_bytes()[:100]), "not a safetensors file"),
        (lambda: save_file({"other": torch.zeros(2)}, path), "does not fit config.json"),
        (path.unlink, "there is no such file"),
    ):
        damage()
        with pytest.raises(UserError, match=rf"step-00000010\.safetensors: {words}"):
            write_dynamics(STAGE, model, data, folder / "tables")
    write_json(model / "config.json", read_json(model / "config.json") | {"fingerprint": "1" * 16})
    with pytest.raises(UserError, match=r"step-00000005\.safetensors: kept by another training than that of"):
        write_dynamics(STAGE, model, data, folder / "tables")
