"""The loss past the training length, against full logits in float64."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import LENGTH, SPECIAL, exact_losses, tiny_decoder

from hope import config
from hope.data.tokens import TokenCorpus
from hope.data.windows import evaluation_windows
from hope.errors import UserError
from hope.evaluation.extrapolation import extrapolate, position_edges
from hope.evaluation.window_losses import context_losses
from hope.model import bounded_passes
from hope.model.decoder import Decoder
from hope.model.loading import load_model

SETTINGS = config.Extrapolation(
    documents=3, windows=2, longest=4, bin_share=0.25, contexts=[0.5, 1.0, 2.0, 4.0], targets=4, extensions=[]
)
PLAIN = config.Windows()
KEYS = ["document", "window"]


def windows_of(data: Path, windows: config.Windows = PLAIN) -> tuple[np.ndarray, np.ndarray]:
    corpus = TokenCorpus.open(data / "validation")
    return evaluation_windows(corpus, SETTINGS.documents, SETTINGS.windows, SETTINGS.longest * LENGTH, windows)


def run(model: Path, data: Path, output: Path, windows: config.Windows = PLAIN) -> tuple[pd.DataFrame, pd.DataFrame]:
    extrapolate(SETTINGS, windows, model, data, output)
    return pd.read_parquet(output / "extrapolation.parquet"), pd.read_parquet(output / "context.parquet")


@pytest.mark.parametrize("encoding", ["hope", "alibi"])
def test_bins_hold_the_summed_loss_of_one_pass(
    encoding: str, make_model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    model = make_model(encoding)
    table, _ = run(model, data, tmp_path / "out")
    tokens, documents = windows_of(data)

    assert list(table.columns) == ["extension", "document", "window", "start", "end", "tokens", "nll"]
    assert set(table["extension"]) == {"none"}
    assert len(table) == len(tokens) * 4 * SETTINGS.longest
    for index, (row, document) in enumerate(zip(tokens, documents, strict=True)):
        losses = exact_losses(load_model(model), row)
        found = table[(table["document"] == document) & (table["window"] == index % SETTINGS.windows)]
        assert found["nll"].sum() == pytest.approx(losses.sum(), rel=1e-5)
        for entry in found.itertuples():
            assert entry.tokens == entry.end - entry.start
            assert entry.nll == pytest.approx(losses[entry.start : entry.end].sum(), rel=1e-4)


@pytest.mark.parametrize("start_token", [False, True])
def test_targets_are_predicted_from_the_last_tokens_before_them(
    start_token: bool, make_model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    model = make_model("rope")
    settings = config.Windows(start_token=start_token)
    _, table = run(model, data, tmp_path / "out", settings)
    tokens, documents = windows_of(data, settings)

    assert list(table.columns) == ["extension", "document", "window", "context", "tokens", "nll"]
    assert sorted(set(table["context"])) == [8, 16, 32, 64]
    assert set(table["tokens"]) == {SETTINGS.targets}
    for index, (row, document) in enumerate(zip(tokens, documents, strict=True)):
        same = (table["document"] == document) & (table["window"] == index % SETTINGS.windows)
        for context in (8, 16, 32, 64):
            read = row[-context - 1 :].copy()
            if start_token:
                read[0] = SPECIAL["start"]
            expected = exact_losses(load_model(model), read)[-SETTINGS.targets :].sum()
            assert table[same & (table["context"] == context)]["nll"].item() == pytest.approx(expected, rel=1e-4)


def test_longest_context_is_the_end_of_the_one_pass_and_shorter_ones_differ(
    make_model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    positions, contexts = run(make_model("hope"), data, tmp_path / "out", config.Windows(start_token=True))
    # The last bin holds exactly the targets: 4 tokens.
    last = positions[positions["end"] == SETTINGS.longest * LENGTH].set_index(KEYS)["nll"]
    by_context = contexts.pivot(index=KEYS, columns="context", values="nll")
    np.testing.assert_allclose(last, by_context[SETTINGS.longest * LENGTH].loc[last.index], rtol=1e-5)
    assert (by_context[8] - by_context[64]).abs().min() > 1e-3


def test_no_pass_goes_past_its_context() -> None:
    lengths = []

    class Recorder(Decoder):
        def forward(self, tokens: torch.Tensor, **rest: int) -> torch.Tensor:
            lengths.append(tokens.shape[1])
            return super().forward(tokens, **rest)

    model = tiny_decoder("learned")
    model.__class__ = Recorder
    tokens = np.random.default_rng(0).integers(4, 100, (2, 4 * LENGTH + 1))
    found = context_losses(model, tokens, 4, [8, 16, 32, 64], None)
    assert lengths == [8, 16]
    assert list(found) == [8, 16]


def test_bounded_encoding_has_no_rows_past_its_end(make_model: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    model = make_model("learned")
    positions, contexts = run(model, data, tmp_path / "out")
    assert positions["end"].max() == LENGTH
    assert sorted(set(contexts["context"])) == [8, 16]

    tokens, _ = windows_of(data)
    within = [exact_losses(load_model(model), row[: LENGTH + 1]).sum() for row in tokens]
    found = positions.groupby(KEYS, sort=False)["nll"].sum()
    np.testing.assert_allclose(found, within, rtol=1e-5)


def test_all_models_read_the_same_windows(
    make_model: Callable[..., Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[np.ndarray] = []

    def remember(model: Decoder, tokens: np.ndarray, *rest: object) -> dict[int, np.ndarray]:
        read.append(tokens)
        return context_losses(model, tokens, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("hope.evaluation.extrapolation.context_losses", remember)
    keys = []
    for number, (encoding, seed) in enumerate((("rope", 0), ("none", 2))):
        table, _ = run(make_model(encoding, seed), data, tmp_path / str(number))
        keys.append(table.drop(columns="nll"))
    assert all(np.array_equal(read[0], other) for other in read[1:])
    assert all(keys[0].equals(other) for other in keys[1:])


def test_losses_do_not_depend_on_the_size_of_a_pass(
    make_model: Callable[..., Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("alibi")
    together = run(model, data, tmp_path / "together")
    monkeypatch.setattr(bounded_passes, "TOKENS_ON_CPU", 1)
    alone = run(model, data, tmp_path / "alone")
    for one, other in zip(together, alone, strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-5)


@given(share=st.floats(0.001, 1.0), length=st.integers(8, 300), longest=st.integers(1, 16))
def test_bins_tile_the_positions_and_part_at_training_lengths(share: float, length: int, longest: int) -> None:
    settings = config.Extrapolation(bin_share=share, longest=longest, contexts=[1.0], targets=1)
    edges = position_edges(settings, length)
    assert edges[0] == 0
    assert edges[-1] == longest * length
    assert (np.diff(edges) >= 1).all()
    assert set(range(0, longest * length + 1, length)) <= set(edges.tolist())
    assert np.ptp(np.diff(edges)) <= 1


def test_bins_have_the_asked_share() -> None:
    settings = config.Extrapolation(bin_share=0.125, longest=8, contexts=[1.0])
    assert position_edges(settings, 128).tolist() == list(range(0, 1025, 16))


def test_what_cannot_be_evaluated_is_an_error(
    make_model: Callable[..., Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, nothing = make_model(), tmp_path / "nothing"
    for settings, folder, text, words in (
        ({"targets": 9}, model, data, r"extrapolation\.targets: 9 tokens .* 8 tokens; lower targets"),
        ({}, make_model(vocabulary=130), data, "holds ids of 120 tokens, .* trained on 130"),
        ({}, nothing, data, "config.json"),
        ({}, model, nothing, "manifest.json"),
    ):
        with pytest.raises(UserError, match=words):
            extrapolate(SETTINGS.model_copy(update=settings), PLAIN, folder, text, tmp_path / "out")
    broken = tiny_decoder()
    with torch.no_grad():
        broken.norm.weight.fill_(float("nan"))
    monkeypatch.setattr("hope.model.loading.load_model", lambda folder: broken)
    with pytest.raises(UserError, match="not finite"):
        extrapolate(SETTINGS, PLAIN, model, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
