"""Length extensions and sliding windows in the extrapolation tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tiny_model import LENGTH, SPECIAL, exact_losses, tiny_decoder

from hope import config
from hope.data.tokens import TokenCorpus
from hope.data.windows import evaluation_windows
from hope.encodings.extensions import extended
from hope.errors import UserError
from hope.evaluation import window_losses
from hope.evaluation.extrapolation import STRIDED_SCHEMA, extrapolate
from hope.evaluation.window_losses import pass_lengths, strided_losses
from hope.model.decoder import Decoder
from hope.model.loading import load_model

YARN = dict(kind="yarn", factor=4.0)
NTK, KEPT = dict(kind="ntk", factor=4.0), dict(kind="ntk", factor=4.0, slowest="kept")
DYNAMIC = dict(kind="dynamic-ntk", factor=2.0)
RE_ROPE = dict(kind="rerope", window=0.5)
LONGROPE = dict(kind="longrope", factor=4.0, short=[1.0] * 4, long=[1.0, 1.5, 2.0, 4.0])
SETTINGS = config.Extrapolation(
    documents=2, windows=1, longest=4, bin_share=0.25, contexts=[0.5, 1.0, 2.0, 4.0], targets=4, extensions=[]
)
PLAIN = config.Windows()
KEYS = ["document", "window"]


def extension(content: dict[str, Any]) -> config.Extension:
    return TypeAdapter(config.Extension).validate_python(content)


def with_extensions(*contents: dict[str, Any], **over: Any) -> config.Extrapolation:
    return SETTINGS.model_copy(update={"extensions": [extension(content) for content in contents], **over})


def run(settings: config.Extrapolation, model: Path, data: Path, output: Path) -> dict[str, pd.DataFrame]:
    extrapolate(settings, PLAIN, model, data, output)
    return {name: pd.read_parquet(output / f"{name}.parquet") for name in ("extrapolation", "context", "strided")}


def windows_of(data: Path, windows: config.Windows = PLAIN) -> np.ndarray:
    return evaluation_windows(
        TokenCorpus.open(data / "validation"), SETTINGS.documents, SETTINGS.windows, 4 * LENGTH, windows
    )[0]


@pytest.mark.parametrize(
    ("encoding", "labels"),
    [
        ("rope", ["none", "yarn-4", "ntk-4", "dynamic-ntk-2", "longrope-4", "rerope-0.5L"]),
        ("hope", ["none", "yarn-4", "longrope-4", "rerope-0.5L"]),  # of 4 components the first alone turns
        ("alibi", ["none"]),
    ],
)
def test_an_extension_has_rows_where_it_applies(
    encoding: str,
    labels: list[str],
    make_model: Callable[..., Path],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    model = make_model(encoding)
    wanted = with_extensions(YARN, NTK, KEPT, DYNAMIC, LONGROPE, RE_ROPE)
    tables, plain = run(wanted, model, data, tmp_path / "out"), run(SETTINGS, model, data, tmp_path / "plain")
    printed = capsys.readouterr().out
    for name in ("extrapolation", "context"):
        parts = {
            label: rows.drop(columns="extension").reset_index(drop=True)
            for label, rows in tables[name].groupby("extension", sort=False)
        }
        assert list(parts) == labels
        # Every extension is measured on the same tokens.
        assert all(rows.drop(columns="nll").equals(parts["none"].drop(columns="nll")) for rows in parts.values())
        pd.testing.assert_frame_equal(parts["none"], plain[name].drop(columns="extension"))
    for content in wanted.extensions:
        assert (f"extension {content.label} is left out: " in printed) == (content.label not in labels)


@pytest.mark.parametrize("content", [YARN, RE_ROPE], ids=lambda content: content["kind"])
def test_a_static_extension_is_one_pass_of_the_extended_model(
    content: dict[str, Any], make_model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    model = make_model("rope")
    tables = run(with_extensions(content), model, data, tmp_path / "out")
    label = extension(content).label
    positions, contexts = (tables[name][tables[name]["extension"] == label] for name in ("extrapolation", "context"))
    for index, row in enumerate(windows_of(data)):
        changed = load_model(model)
        with extended(changed, extension(content)):
            whole = exact_losses(changed, row)
            for entry in positions.iloc[16 * index : 16 * (index + 1)].itertuples():
                assert entry.nll == pytest.approx(whole[entry.start : entry.end].sum(), rel=1e-4)
            for entry in contexts.iloc[4 * index : 4 * (index + 1)].itertuples():
                expected = exact_losses(changed, row[-entry.context - 1 :])[-4:].sum()
                assert entry.nll == pytest.approx(expected, rel=1e-4)
        assert np.abs(exact_losses(changed, row) - whole).max() > 0.01


def test_of_a_resized_one_each_position_comes_from_the_shortest_pass_that_reaches_it(
    make_model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    model = make_model("rope")
    tables = run(with_extensions(DYNAMIC), model, data, tmp_path / "out")
    positions, contexts = (
        tables[name][tables[name]["extension"] == "dynamic-ntk-2"] for name in ("extrapolation", "context")
    )
    for index, row in enumerate(windows_of(data)):
        changed = load_model(model)
        with extended(changed, extension(DYNAMIC)):
            by_length = {reach: exact_losses(changed, row[: reach + 1]) for reach in (16, 32, 64)}
            for entry in positions.iloc[16 * index : 16 * (index + 1)].itertuples():
                found = by_length[next(reach for reach in by_length if entry.end <= reach)]
                assert entry.nll == pytest.approx(found[entry.start : entry.end].sum(), rel=1e-4)
            for entry in contexts.iloc[4 * index : 4 * (index + 1)].itertuples():
                expected = exact_losses(changed, row[-entry.context - 1 :])[-4:].sum()
                assert entry.nll == pytest.approx(expected, rel=1e-4)
        assert np.abs(by_length[32][16:] - by_length[64][16:32]).max() > 0.01
    # Within the training length nothing is changed.
    none = tables["extrapolation"][tables["extrapolation"]["extension"] == "none"]
    within = positions["end"].to_numpy() <= LENGTH
    np.testing.assert_allclose(positions["nll"][within], none["nll"][within], rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "length", "expected"),
    [
        (None, 256, [256]),
        (YARN, 256, [256]),
        (RE_ROPE, 256, [256]),
        (DYNAMIC, 256, [16, 32, 64, 128, 256]),
        (DYNAMIC, 48, [16, 32, 48]),
        (DYNAMIC, 16, [16]),
        (DYNAMIC, 10, [10]),
        (DYNAMIC | {"factor": 1.0}, 64, [16, 32, 64]),
        (LONGROPE, 256, [16, 256]),
        (LONGROPE, 16, [16]),
    ],
)
def test_no_more_passes_than_the_angles_ask_for(
    content: dict[str, Any] | None, length: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def remember(model: Decoder, tokens: torch.Tensor, what: str) -> torch.Tensor:
        read.append(tokens.shape[1] - 1)
        return torch.zeros(tokens.shape[0], tokens.shape[1] - 1)

    monkeypatch.setattr(window_losses, "losses_of_rows", remember)
    model = tiny_decoder("rope")
    with extended(model, extension(content) if content else None):
        assert pass_lengths(model, length) == expected
        window_losses.window_losses(model, np.zeros((1, length + 1), dtype=np.int64))
    assert read == expected


def test_extended_models_that_diverge_are_an_error(
    make_model: Callable[..., Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hope.encodings.extensions.yarn_frequencies", lambda theta, *_: theta * float("nan"))
    with pytest.raises(UserError, match=r"not finite .*extension yarn-4"):
        extrapolate(with_extensions(YARN), PLAIN, make_model("rope"), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@given(size=st.integers(1, 40), stride=st.integers(1, 40), length=st.integers(1, 120), start=st.sampled_from([None, 7]))
def test_every_token_is_scored_once_with_enough_context(size: int, stride: int, length: int, start: int | None) -> None:
    size = min(size, length)
    stride = min(stride, size)

    def context_and_target(model: object, tokens: torch.Tensor, what: str) -> torch.Tensor:
        assert tokens.shape[1] == size + 1
        if start is not None:
            assert (tokens[:, 0] == start).all()
        return (torch.arange(1, size + 1) + 1000 * tokens[:, 1:]).float()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_losses, "losses_of_rows", context_and_target)
        found = strided_losses(tiny_decoder(), np.arange(length + 1)[None], size, stride, start)[0]
    targets, contexts = found // 1000, found % 1000
    assert targets.tolist() == list(range(1, length + 1))
    assert contexts[:size].tolist() == list(range(1, size + 1))
    assert contexts.max() <= size and (contexts[size:] > size - stride).all()


@pytest.mark.parametrize("start_token", [False, True])
def test_sliding_windows_read_what_they_say(
    start_token: bool, make_model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    model, windows = make_model("rope"), config.Windows(start_token=start_token)
    settings = SETTINGS.model_copy(update={"strided": config.Strided(window=1.5, stride=0.6)})
    extrapolate(settings, windows, model, data, tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "strided.parquet")
    size, stride = 24, 10
    assert list(table.columns) == list(STRIDED_SCHEMA)
    assert set(table["read"]) == {size} and set(table["stride"]) == {stride}
    assert table["context"].tolist() == [1, size - stride + 1] * SETTINGS.documents
    assert (table.groupby(KEYS)["tokens"].sum() == 4 * LENGTH).all()
    for index, row in enumerate(windows_of(data, windows)):
        losses = list(exact_losses(load_model(model), row[: size + 1]))
        while len(losses) < 4 * LENGTH:
            new = min(stride, 4 * LENGTH - len(losses))
            read = row[len(losses) + new - size : len(losses) + new + 1].copy()
            if start_token:
                read[0] = SPECIAL["start"]
            losses += list(exact_losses(load_model(model), read)[-new:])
        early, rest = table.iloc[2 * index], table.iloc[2 * index + 1]
        assert early["tokens"] == size - stride and rest["tokens"] == 4 * LENGTH - size + stride
        assert early["nll"] == pytest.approx(sum(losses[: size - stride]), rel=1e-4)
        assert rest["nll"] == pytest.approx(sum(losses[size - stride :]), rel=1e-4)


def test_windows_that_do_not_overlap_have_one_row(make_model: Callable[..., Path], data: Path, tmp_path: Path) -> None:
    settings = with_extensions(YARN, strided=config.Strided(window=1.0, stride=1.0))
    table = run(settings, make_model("rope"), data, tmp_path / "out")["strided"]
    assert table["extension"].tolist() == ["none"] * 2 + ["yarn-4"] * 2
    assert table["context"].tolist() == [1] * 4 and (table["tokens"] == 4 * LENGTH).all()


def test_no_sliding_windows_past_the_end_of_an_encoding(
    make_model: Callable[..., Path], data: Path, tmp_path: Path
) -> None:
    model = make_model("learned")
    longer = SETTINGS.model_copy(update={"strided": config.Strided(window=1.5, stride=0.5)})
    assert run(longer, model, data, tmp_path / "longer")["strided"].empty
    within = SETTINGS.model_copy(update={"strided": config.Strided()})
    assert len(run(within, model, data, tmp_path / "within")["strided"]) == 2 * SETTINGS.documents
    assert run(SETTINGS, model, data, tmp_path / "none")["strided"].empty
