"""Weights kept while a model trains: the right ones, whole, and without any effect on the training."""

import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from hope import config
from hope.encodings.base import Encoding, EncodingShape
from hope.files import read_json
from hope.model.decoder import Decoder
from hope.model.loading import load_model, save_model
from hope.paths import SNAPSHOTS, snapshot_file
from hope.training.engine import full_weights
from hope.training.snapshots import Snapshots
from tests.training.conftest import Preloaded, kill, same, until, weights, with_training

MOMENTS_OF_12 = [1, 2, 3, 6]
"""By hand: 12/2, 12/4, 1.5, which rounds to 2, and 0.75, which rounds to 1."""


def kept(folder: Path) -> dict[int, dict[str, np.ndarray]]:
    """Return the snapshots of the model that was trained below ``folder``, by step."""
    files = sorted((folder / "model" / SNAPSHOTS).glob("*"))
    return {int(path.stem.removeprefix("step-")): load_file(path) for path in files}


def settings(**over: object) -> config.Training:
    return config.Training.model_validate({"length": 32, "batch_windows": 8, "tokens": 256 * 12, **over})


def test_the_moments_halve_from_the_end_on() -> None:
    assert settings().snapshot_steps == MOMENTS_OF_12
    assert settings(snapshots=2).snapshot_steps == [3, 6]
    assert settings(snapshots=0).snapshot_steps == []
    assert settings(tokens=256 * 1000).snapshot_steps == [4, 8, 16, 31, 62, 125, 250, 500]


@given(st.integers(1, 10**7), st.integers(0, 40))
def test_more_snapshots_move_none(steps: int, number: int) -> None:
    fewer, more = (settings(tokens=256 * steps, snapshots=count).snapshot_steps for count in (number, number + 1))
    assert set(fewer) <= set(more) and len(more) - len(fewer) <= 1
    assert more == sorted(set(more)) and all(0 < step < steps for step in more)


def test_they_come_to_the_model_as_links_or_as_copies_where_links_are_not_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hope.training.snapshots.dist.get_rank", lambda: 0)
    snapshots = Snapshots([3], tmp_path / "checkpoints", "key")
    source = snapshot_file(tmp_path / "checkpoints" / SNAPSHOTS, 3)
    source.parent.mkdir(parents=True)
    source.write_bytes(b"weights")
    snapshots.hand_over(tmp_path / "model")
    (target,) = (tmp_path / "model" / SNAPSHOTS).iterdir()
    assert target.samefile(source)

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    snapshots.hand_over(tmp_path / "model")
    assert not target.samefile(source)
    assert target.read_bytes() == b"weights"


class Buffered(Encoding):
    """An encoding with a buffer, as published code often has."""

    def __init__(self, shape: EncodingShape) -> None:
        super().__init__(shape)
        self.register_buffer("slopes", 2.0 ** -torch.arange(shape.heads))
        self.register_buffer("unsaved", torch.zeros(1), persistent=False)


def test_a_model_with_buffers_is_opened_again_with_them(tmp_path: Path) -> None:
    definition = config.EncodingDefinition(family=f"{__name__}:Buffered")
    stage = config.Arm(encodings=["mine"], definitions={"mine": definition}).train_stage("mine", 0)
    model = Decoder(stage.model, 8, stage.training.length, stage.encoding).initialise(0)
    model.encoding.slopes.mul_(3)
    weights = full_weights(SimpleNamespace(module=SimpleNamespace(decoder=model), optimizer=None))
    assert weights.keys() == model.state_dict().keys()
    save_model(model, weights, stage, "key", tmp_path)
    again = load_model(tmp_path)
    assert torch.equal(again.encoding.slopes.cpu(), model.encoding.slopes)


def test_a_snapshot_is_the_model_of_a_training_that_ends_there(
    preloaded: Preloaded, stage: config.TrainStage, tiny_data: Path, tmp_path: Path
) -> None:
    # At one learning rate throughout, a training's first steps are those of a shorter one.
    flat = with_training(stage, warmup_steps=0, final_learning_rate=stage.training.learning_rate)
    preloaded.trained(flat, tiny_data, tmp_path / "whole")
    found = kept(tmp_path / "whole")
    assert list(found) == MOMENTS_OF_12
    for step in (1, 3, 6):
        folder = tmp_path / str(step)
        preloaded.trained(with_training(flat, tokens=256 * step), tiny_data, folder)
        assert same(found[step], weights(folder))
    assert not same(found[6], weights(tmp_path / "whole"))


def test_snapshots_change_no_bit_of_the_model(
    preloaded: Preloaded, stage: config.TrainStage, undisturbed: Path, tiny_data: Path, tmp_path: Path
) -> None:
    assert list(kept(undisturbed)) == MOMENTS_OF_12
    preloaded.trained(with_training(stage, snapshots=0), tiny_data, tmp_path)
    assert same(weights(tmp_path), weights(undisturbed))
    assert not (tmp_path / "model" / SNAPSHOTS).exists()


def test_each_notes_its_training_and_step(undisturbed: Path) -> None:
    key = read_json(undisturbed / "model" / "config.json")["fingerprint"]
    for path in (undisturbed / "model" / SNAPSHOTS).iterdir():
        with safe_open(path, "np") as opened:
            assert opened.metadata() == {"format": "pt", "fingerprint": key, "step": str(int(path.stem[5:]))}
    outputs = read_json(undisturbed / "model" / "run.json")["outputs"]
    assert len([name for name in outputs if SNAPSHOTS in name]) == len(MOMENTS_OF_12)


def test_killed_before_and_after_a_snapshot_it_ends_with_the_same_bits(
    preloaded: Preloaded, stage: config.TrainStage, tiny_data: Path, tmp_path: Path
) -> None:
    longer = with_training(stage, tokens=256 * 100, checkpoint_seconds=0.0)
    preloaded.trained(longer, tiny_data, tmp_path / "whole")
    folder, moments = tmp_path / "killed", longer.training.snapshot_steps
    assert moments == [1, 2, 3, 6, 12, 25, 50]
    for moment in (3, 12, 50):
        run = preloaded.train(longer, tiny_data, folder)
        until(lambda moment=moment: list(folder.glob(f"checkpoints/*/{SNAPSHOTS}/step-{moment:08d}.safetensors")))
        kill(run)
        assert not (folder / "model").exists()
    # What a writer that was killed leaves.
    (kept_meanwhile,) = folder.glob(f"checkpoints/*/{SNAPSHOTS}")
    (kept_meanwhile / ".step-00000025.safetensors.1.part").write_bytes(b"half")
    preloaded.trained(longer, tiny_data, folder)
    found, expected = kept(folder), kept(tmp_path / "whole")
    assert list(found) == moments
    assert all(same(found[step], expected[step]) for step in moments)
    assert same(weights(folder), weights(tmp_path / "whole"))
    assert [path.suffix for path in (folder / "checkpoints").iterdir()] == [".lock"]


def test_asked_for_later_they_have_it_trained_again_from_before_the_first(
    preloaded: Preloaded, stage: config.TrainStage, undisturbed: Path, tiny_data: Path, tmp_path: Path
) -> None:
    none = with_training(stage, snapshots=0, tokens=256 * 20_000, checkpoint_seconds=0.0)
    run = preloaded.train(none, tiny_data, tmp_path)
    until(lambda: list(tmp_path.glob("checkpoints/*/step-*")))
    run.send(signal.SIGTERM)
    run.wait()
    (checkpoint,) = {path.parent for path in tmp_path.glob("checkpoints/*/step-*")}
    (last,) = [int(path.name[5:]) for path in checkpoint.glob("step-*")][-1:]
    # The moments of 20,000 steps begin at 5,000: what was done before them is gone on from, with snapshots too.
    again = preloaded.train(with_training(none, snapshots=2), tiny_data, tmp_path)
    until(lambda: "resumed at step" in again.output)
    kill(again)
    assert last < 5000
    third = preloaded.train(with_training(none, snapshots=14), tiny_data, tmp_path)
    until(lambda: list(tmp_path.glob(f"checkpoints/*/{SNAPSHOTS}/step-00000001.safetensors")))
    kill(third)
    assert "not gone on from, for the snapshot of step 1 is missing" in third.output
    assert "resumed" not in third.output


def test_a_model_without_its_snapshots_is_not_done(
    preloaded: Preloaded, stage: config.TrainStage, undisturbed: Path, tiny_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    assert "trained already" in preloaded.trained(stage, tiny_data, tmp_path).output
    (tmp_path / "model" / SNAPSHOTS / "step-00000003.safetensors").unlink()
    assert "trained already" not in preloaded.trained(stage, tiny_data, tmp_path).output
    assert list(kept(tmp_path)) == MOMENTS_OF_12
    assert same(weights(tmp_path), weights(undisturbed))


@pytest.mark.parametrize(
    ("zero", "processes", "precision"),
    [
        (3, 2, "float32"),
        pytest.param(1, 2, "bfloat16", marks=pytest.mark.slow),
        pytest.param(2, 1, "float32", marks=pytest.mark.slow),
    ],
)
def test_every_zero_stage_keeps_whole_weights(
    zero: int,
    processes: int,
    precision: str,
    preloaded: Preloaded,
    stage: config.TrainStage,
    undisturbed: Path,
    tiny_data: Path,
    tmp_path: Path,
) -> None:
    other = with_training(stage, zero_stage=zero, processes=processes, precision=precision)
    preloaded.trained_together(other, tiny_data, tmp_path / "with")
    preloaded.trained_together(with_training(other, snapshots=0), tiny_data, tmp_path / "without")
    assert same(weights(tmp_path / "with"), weights(tmp_path / "without"))
    found, expected = kept(tmp_path / "with"), kept(undisturbed)
    assert list(found) == MOMENTS_OF_12
    for step in found:
        assert found[step].keys() == expected[step].keys()
        for name, tensor in found[step].items():
            assert tensor.dtype == np.float32
            near = 2e-4 if precision == "float32" else 2e-2
            np.testing.assert_allclose(tensor, expected[step][name], atol=near, err_msg=f"{step} {name}")
