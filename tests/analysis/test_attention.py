"""The whole analysis of a model: its tables, against full maps of the stock model and against itself."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from hope import config
from hope.analysis.attention import WINDOW_SEED, analyze, shuffled
from hope.data.tokens import TokenCorpus
from hope.data.windows import evaluation_windows
from hope.errors import UserError
from hope.model.loading import load_model
from tests.analysis.conftest import write_model

DOCUMENT = Path(__file__).parents[2] / "docs" / "results-format.md"
SETTINGS = config.Analysis(documents=6, multiples=[0.75, 1.0, 2.0, 4.0], queries=4, active_share=0.3)
TABLES = {"profile", "ushape", "divergence", "components", "activation", "kernel_trained", "intervention"}


def tables(folder):
    return {path.stem: pd.read_parquet(path) for path in folder.iterdir()}


def analyzed(model, data, folder):
    analyze(SETTINGS, model, data, folder)
    return model, tables(folder)


@pytest.fixture(scope="module")
def of_rope(data, tmp_path_factory):
    """A model with RoPE, and its tables."""
    folder = tmp_path_factory.mktemp("rope")
    return analyzed(write_model(folder, "rope"), data, folder / "tables")


@pytest.fixture(scope="module")
def of_hope(data, tmp_path_factory):
    """A model with HoPE, and its tables."""
    folder = tmp_path_factory.mktemp("hope")
    return analyzed(write_model(folder, "hope"), data, folder / "tables")


def test_a_rotary_model_gives_every_table_and_the_documented_columns(of_rope):
    """The columns that the document lists for a table, and no others, are in the file."""
    written, text = of_rope[1], DOCUMENT.read_text(encoding="utf-8")
    assert set(written) == TABLES
    for name, table in written.items():
        section = text.split(f"\n### `{name}.parquet`\n")[1].split("\n##")[0]
        cells = re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE)
        assert {column for cell in cells for column in re.findall(r"`(\w+)`", cell)} == set(table)
        assert not table.isna().any().any()
    keys = ["subject", "layer", "head", "query", "axis"]
    assert written["profile"].groupby(keys)["mass"].sum().to_numpy() == pytest.approx(1.0, abs=1e-5)
    assert len(written["ushape"]) == 3 * 4 * 2 * 4 * 6
    assert sorted(written["ushape"]["query"].unique()) == [23, 31, 63, 127]
    assert sorted(written["divergence"]["query"].unique()) == [63, 127]
    assert written["divergence"]["divergence"].between(0, 1).all()
    assert len(written["components"]) == 2 * 4 * 8 * 32
    assert len(written["intervention"]) == 3 * 3 * (1 + 3 * 5)


@pytest.mark.parametrize("encoding", ["rope", "hope"])
def test_the_profile_is_that_of_the_stock_model(request, data, stock, encoding):
    model, written = request.getfixturevalue(f"of_{encoding}")
    profile = written["profile"]
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
    assert set(written["ushape"]["document"]) == set(documents.tolist())


def test_the_shuffled_null_keeps_tokens_and_loses_their_order(of_rope, data):
    corpus = TokenCorpus.open(data / "validation")
    windows, _ = evaluation_windows(corpus, 6, 1, 128, config.Windows(start_token=True), seed=WINDOW_SEED)
    for start_token in (True, False):
        mixed = shuffled(windows, start_token, [32, 64])
        assert (mixed[:, 0] == windows[:, 0]).all() == start_token
        for begin, end in ((0, 32), (32, 64), (64, 129)):  # what a query group sees are the tokens of the window
            assert (np.sort(mixed[:, begin:end], axis=1) == np.sort(windows[:, begin:end], axis=1)).all()
        assert (mixed[:, 1:] != windows[:, 1:]).mean() > 0.9
        assert (shuffled(windows, start_token, [32, 64]) == mixed).all()
    table = of_rope[1]["ushape"]
    parts = [table[table["subject"] == subject] for subject in ("trained", "shuffled", "initial")]
    assert [len(part) for part in parts] == [len(table) // 3] * 3
    trained, permuted, initial = (part["index_without_sink"].to_numpy() for part in parts)
    assert np.abs(trained - permuted).max() > 0.1
    assert permuted.std() > 3 * initial.std()
    indices = table.set_index("subject")["index"]
    assert indices.loc["initial"].abs().max() < 0.5 < indices.loc["trained"].abs().max()


def test_a_bounded_encoding_is_analysed_up_to_its_end_and_untrained_is_its_own_initialisation(data, folder):
    _, written = analyzed(write_model(folder, "learned", sharp=False), data, folder / "tables")
    assert set(written) == {"profile", "ushape", "divergence"}
    assert sorted(written["profile"]["query"].unique()) == [23, 31]
    assert len(written["divergence"]) == 0
    for name in ("profile", "ushape"):
        table = written[name]
        parts = [table[table["subject"] == subject].drop(columns="subject") for subject in ("trained", "initial")]
        pd.testing.assert_frame_equal(*[part.reset_index(drop=True) for part in parts], check_exact=True)
        assert len(parts[0])


def test_an_encoding_of_limited_span_is_analysed_within_it(make_model, data, folder, monkeypatch):
    model = make_model("xpos", settings={"scale_base": 2.0})  # 64 tokens together
    _, written = analyzed(model, data, folder)
    assert sorted(written["ushape"]["query"].unique()) == [23, 31, 63]
    with pytest.raises(UserError, match="its attention can be looked at over 16 tokens, and L is 32"):
        monkeypatch.setattr("hope.encodings.xpos.span", lambda settings: 16)
        analyze(SETTINGS, model, data, folder / "none")


@pytest.mark.parametrize("encoding", ["alibi", "pope", "darope"])
def test_other_encodings_have_no_component_tables(make_model, data, folder, encoding):
    _, written = analyzed(make_model(encoding), data, folder)
    assert set(written) == {"profile", "ushape", "divergence"}
    assert sorted(written["profile"]["query"].unique()) == [23, 31, 63, 127]


def test_components_are_chosen_on_some_documents_and_tested_on_others(of_hope, data):
    written = of_hope[1]
    corpus = TokenCorpus.open(data / "validation")
    _, documents = evaluation_windows(corpus, 6, 1, 128, config.Windows(), seed=WINDOW_SEED)
    assert set(written["intervention"]["document"]) == set(documents[3:].tolist())
    components = written["components"].groupby("component")[["kept", "activated", "frequency"]].first()
    assert (components["kept"] == (components["frequency"] >= 2 * np.pi / 32)).all()
    assert 0 < components["kept"].sum() < 8
    assert components.loc[components["activated"], "kept"].all()
    sets = written["intervention"].groupby("set")["components"].first()
    assert [int(name) for name in sets["activated"]] == list(components.index[components["activated"]])
    assert [int(name) for name in sets["slow"]] == list(components.index[~components["kept"]])


def test_the_definition_of_activated_is_in_its_own_sensitivity_table(of_rope):
    marked = of_rope[1]["components"].groupby("component")["activated"].first()
    table = of_rope[1]["activation"]
    own = table[(table["rule"] == "share") & (table["threshold"] == 0.3) & (table["layer"] == -1)]
    assert own.set_index("component")["activated"].to_dict() == marked.to_dict()
    assert sorted(table["threshold"][table["rule"] == "share"].unique()) == [0.0625, 0.125, 0.25, 0.3, 0.375, 0.5]


def test_two_runs_write_the_same_bytes(of_rope, data, folder):
    analyze(SETTINGS, of_rope[0], data, folder)
    for path in folder.iterdir():
        assert path.read_bytes() == (of_rope[0].parent / "tables" / path.name).read_bytes()


def test_windows_are_cut_as_in_training(of_rope, make_model, data, folder):
    """With a start token every window begins alike."""
    windows = {"boundaries": "kept", "start_token": True}
    _, written = analyzed(make_model("rope", windows=windows), data, folder)
    assert np.abs(written["ushape"]["first"] - of_rope[1]["ushape"]["first"]).max() > 1e-3


def test_what_cannot_be_analysed_is_one_line(of_rope, make_model, data, folder):
    diverged = make_model("none")
    weights = load_file(diverged / "model.safetensors")
    save_file({name: weight * float("nan") for name, weight in weights.items()}, diverged / "model.safetensors")
    for changes, model, words in (
        ({"documents": 8}, of_rope[0], "documents"),
        (
            {"multiples": [0.3, 1.0]},
            of_rope[0],
            "analysis.multiples: 0.3 times the training length 32, with analysis.q",
        ),
        ({"queries": 40}, of_rope[0], "leaves a query 0 keys; it needs 17"),
        ({"multiples": [1.0, 1.01]}, of_rope[0], r"analysis.multiples: two of \[1.0, 1.01\] end at the same token"),
        ({}, make_model("rope", vocabulary=80), "64 tokens, but .* was trained on 80"),
        ({}, diverged, "attention is not finite.*lower training.learning_rate"),
    ):
        with pytest.raises(UserError, match=words) as error:
            analyze(SETTINGS.model_copy(update=changes), model, data, folder)
        assert "\n" not in str(error.value)
        assert not folder.exists()
