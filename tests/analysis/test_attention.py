"""The whole analysis of a model: its tables, against full maps of the stock model and against itself."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hope import config
from hope.analysis.attention import WINDOW_SEED, analyze, shuffled
from hope.data.tokens import TokenCorpus
from hope.data.windows import evaluation_windows
from hope.errors import UserError
from hope.model.loading import load_model

DOCUMENT = Path(__file__).parents[2] / "docs" / "results-format.md"
SETTINGS = config.Analysis(documents=6, multiples=[0.75, 1.0, 2.0, 4.0], queries=4)
TABLES = {
    "profile": ["subject", "layer", "head", "query", "axis", "start", "end", "mass"],
    "ushape": ["subject", "query", "layer", "head", "document", "first", "first_without_sink", "near", "middle"]
    + ["index", "index_without_sink"],
    "divergence": ["document", "query", "layer", "head", "divergence"],
    "components": ["layer", "head", "component", "distance", "distance_end", "contribution", "query_norm", "key_norm"]
    + ["variance_share", "frequency", "turns", "kept", "spread", "activated"],
    "activation": ["rule", "threshold", "layer", "component", "turns", "spread", "activated"],
    "kernel_trained": ["layer", "head", "distance", "value", "bound"],
    "intervention": ["document", "mode", "set", "components", "variance_share", "measure", "value"],
}


def tables(folder):
    return {path.stem: pd.read_parquet(path) for path in folder.iterdir()}


def test_a_rotary_model_gives_every_table(make_model, data, folder):
    analyze(SETTINGS, make_model("rope"), data, folder)
    found = tables(folder)
    for name, columns in TABLES.items():
        assert set(columns) == set(found[name])
        assert not found[name].isna().any().any()
    assert set(found) == set(TABLES)
    keys = ["subject", "layer", "head", "query", "axis"]
    assert found["profile"].groupby(keys)["mass"].sum().to_numpy() == pytest.approx(1.0, abs=1e-5)
    assert len(found["ushape"]) == 3 * 4 * 2 * 4 * 6
    assert sorted(found["ushape"]["query"].unique()) == [23, 31, 63, 127]
    assert sorted(found["divergence"]["query"].unique()) == [63, 127]
    assert found["divergence"]["divergence"].between(0, 1).all()
    assert len(found["components"]) == 2 * 4 * 8 * 32
    assert len(found["intervention"]) == 3 * 3 * (1 + 3 * 5)


@pytest.mark.parametrize("encoding", ["rope", "hope"])
def test_the_profile_is_that_of_the_stock_model(make_model, data, folder, stock, encoding):
    model = make_model(encoding)
    analyze(SETTINGS, model, data, folder)
    profile = pd.read_parquet(folder / "profile.parquet")
    corpus = TokenCorpus.open(data / "validation")
    windows, documents = evaluation_windows(corpus, 6, 1, 128, config.Windows(), seed=WINDOW_SEED)
    with torch.no_grad():
        maps = stock(load_model(model))(torch.from_numpy(windows)[:, :-1], output_attentions=True).attentions
    for layer, full in enumerate(maps):
        for end in (24, 32, 64, 128):
            rows = profile[
                (profile["subject"] == "trained") & (profile["layer"] == layer) & (profile["query"] == end - 1)
            ]
            by_key = full[:, :, end - 4 : end, :end].mean(dim=(0, 2))
            by_distance = torch.stack(
                [
                    sum(full[:, :, query, max(query - far, 0)] * (far <= query) for query in range(end - 4, end)) / 4
                    for far in range(end)
                ],
                dim=-1,
            ).mean(dim=0)
            for axis, expected in (("key", by_key), ("distance", by_distance)):
                got = rows[rows["axis"] == axis].pivot(index="head", columns="start", values="mass").to_numpy()
                np.testing.assert_allclose(got, expected.numpy(), atol=1e-5)
    assert set(pd.read_parquet(folder / "ushape.parquet")["document"]) == set(documents.tolist())


def test_every_table_is_documented(make_model, data, folder):
    """The columns that the document lists for a table, and no others, are in the file."""
    text = DOCUMENT.read_text(encoding="utf-8")
    analyze(SETTINGS, make_model("rope"), data, folder)
    for name, table in tables(folder).items():
        section = text.split(f"\n### `{name}.parquet`\n")[1].split("\n##")[0]
        cells = re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE)
        assert {column for cell in cells for column in re.findall(r"`(\w+)`", cell)} == set(table)


def test_the_shuffled_null_keeps_tokens_and_loses_their_order(make_model, data, folder):
    """Without positions, a query's attention over its keys knows only which tokens there are."""
    corpus = TokenCorpus.open(data / "validation")
    windows, _ = evaluation_windows(corpus, 6, 1, 128, config.Windows(start_token=True), seed=WINDOW_SEED)
    for start_token in (True, False):
        found = shuffled(windows, start_token)
        assert (found[:, 0] == windows[:, 0]).all() == start_token
        assert (np.sort(found, axis=1) == np.sort(windows, axis=1)).all()
        assert (found[:, 1:] != windows[:, 1:]).mean() > 0.9
        assert (shuffled(windows, start_token) == found).all()
    analyze(SETTINGS, make_model("rope"), data, folder)
    table = pd.read_parquet(folder / "ushape.parquet")
    parts = [table[table["subject"] == subject] for subject in ("trained", "shuffled", "initial")]
    assert [len(part) for part in parts] == [len(table) // 3] * 3
    trained, permuted, initial = (part["index_without_sink"].to_numpy() for part in parts)
    assert np.abs(trained - permuted).max() > 0.1
    assert permuted.std() > 3 * initial.std()


@pytest.mark.parametrize("encoding", ["rope", "learned"])
def test_an_untrained_model_is_its_own_initialisation(make_model, data, folder, encoding):
    analyze(SETTINGS, make_model(encoding, sharp=False), data, folder)
    for name in ("profile", "ushape"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        parts = [table[table["subject"] == subject].drop(columns="subject") for subject in ("trained", "initial")]
        pd.testing.assert_frame_equal(*[part.reset_index(drop=True) for part in parts], check_exact=True)
        assert len(parts[0])


def test_training_shows(make_model, data, folder):
    analyze(SETTINGS, make_model("rope"), data, folder)
    table = pd.read_parquet(folder / "ushape.parquet").set_index("subject")["index"]
    assert table.loc["initial"].abs().max() < 0.5 < table.loc["trained"].abs().max()


def test_a_bounded_encoding_is_looked_at_up_to_its_end(make_model, data, folder):
    analyze(SETTINGS, make_model("learned"), data, folder)
    found = tables(folder)
    assert set(found) == {"profile", "ushape", "divergence"}
    assert sorted(found["profile"]["query"].unique()) == [23, 31]
    assert len(found["divergence"]) == 0


def test_an_encoding_that_cannot_be_seen_so_far_is_looked_at_as_far_as_it_can(make_model, data, folder):
    model = make_model("xpos", settings={"scale_base": 2.0})  # 64 tokens together
    analyze(SETTINGS, model, data, folder)
    assert sorted(pd.read_parquet(folder / "ushape.parquet")["query"].unique()) == [23, 31, 63]
    with pytest.raises(UserError, match="its attention can be looked at over 16 tokens, and L is 32"):
        analyze(SETTINGS, make_model("xpos", settings={"scale_base": 0.5}), data, folder / "none")


@pytest.mark.parametrize("encoding", ["none", "alibi", "fire", "pope", "xpos", "darope"])
def test_other_encodings_have_no_component_tables(make_model, data, folder, encoding):
    analyze(SETTINGS, make_model(encoding), data, folder)
    found = tables(folder)
    assert set(found) == {"profile", "ushape", "divergence"}
    assert sorted(found["profile"]["query"].unique()) == [23, 31, 63, 127]


def test_components_are_chosen_on_some_documents_and_tested_on_others(make_model, data, folder):
    analyze(SETTINGS, make_model("hope"), data, folder)
    found = tables(folder)
    corpus = TokenCorpus.open(data / "validation")
    _, documents = evaluation_windows(corpus, 6, 1, 128, config.Windows(), seed=WINDOW_SEED)
    assert set(found["intervention"]["document"]) == set(documents[3:].tolist())
    components = found["components"].groupby("component")[["kept", "activated", "frequency"]].first()
    assert (components["kept"] == (components["frequency"] >= 2 * np.pi / 32)).all()
    assert 0 < components["kept"].sum() < 8
    assert components.loc[components["activated"], "kept"].all()
    sets = found["intervention"].groupby("set")["components"].first()
    assert [int(name) for name in sets["activated"]] == list(components.index[components["activated"]])
    assert [int(name) for name in sets["slow"]] == list(components.index[~components["kept"]])


def test_the_definition_of_activated_is_one_of_its_own_sensitivity_table(make_model, data, folder):
    analyze(SETTINGS.model_copy(update={"active_share": 0.3}), make_model("rope"), data, folder)
    found = tables(folder)
    marked = found["components"].groupby("component")["activated"].first()
    table = found["activation"]
    own = table[(table["rule"] == "share") & (table["threshold"] == 0.3) & (table["layer"] == -1)]
    assert own.set_index("component")["activated"].to_dict() == marked.to_dict()
    assert sorted(table["threshold"][table["rule"] == "share"].unique()) == [0.0625, 0.125, 0.25, 0.3, 0.375, 0.5]


def test_two_runs_write_the_same_bytes(make_model, data, folder):
    model = make_model("rope")
    analyze(SETTINGS, model, data, folder / "a")
    analyze(SETTINGS, model, data, folder / "b")
    for path in (folder / "a").iterdir():
        assert path.read_bytes() == (folder / "b" / path.name).read_bytes()


def test_windows_are_cut_as_in_training(make_model, data, folder):
    """With a start token every window begins alike, and all that its first token says is the same."""
    analyze(SETTINGS, make_model("none", windows={"boundaries": "kept", "start_token": True}), data, folder / "start")
    analyze(SETTINGS, make_model("none"), data, folder / "plain")
    start, plain = (tables(folder / name)["ushape"]["first"] for name in ("start", "plain"))
    assert np.abs(start - plain).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"documents": 8}, "documents"),
        ({"multiples": [0.3, 1.0]}, "analysis.multiples: 0.3 times the training length 32, with analysis.queries 4"),
        ({"queries": 40}, "leaves a query 0 keys; it needs 16"),
        ({"multiples": [1.0, 1.01]}, "analysis.multiples: two of [1.0, 1.01] end at the same token"),
    ],
)
def test_settings_that_cannot_be_are_one_line(make_model, data, folder, changes, words):
    with pytest.raises(UserError) as error:
        analyze(SETTINGS.model_copy(update=changes), make_model("rope"), data, folder)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert not folder.exists()


def test_data_of_another_vocabulary_is_one_line(make_model, data, folder):
    with pytest.raises(UserError, match=r"64 tokens, but .* was trained on 80"):
        analyze(SETTINGS, make_model("rope", vocabulary=80), data, folder)


def test_a_diverged_model_is_one_line(make_model, data, folder):
    from safetensors.torch import load_file, save_file

    model = make_model("rope")
    weights = load_file(model / "model.safetensors")
    save_file({name: weight * float("nan") for name, weight in weights.items()}, model / "model.safetensors")
    with pytest.raises(UserError, match=r"attention is not finite.*lower training.learning_rate"):
        analyze(SETTINGS, model, data, folder)
    assert not folder.exists()
