"""A user's own encoding whose file is edited while a training with it waits or runs."""

import signal
from pathlib import Path

import pytest

from hope import config
from hope.files import read_json, sha256_of_file
from tests.conftest import tiny_arm
from tests.training.conftest import Preloaded, until, with_training

SOURCE = """
from hope.encodings.base import Encoding


class Mine(Encoding):
    def embed(self, embeddings, positions):
        return 1.0 * embeddings
"""
EDITED = SOURCE.replace("1.0", "2.0")


@pytest.fixture
def own(tiny_files: Path, tmp_path: Path) -> config.TrainStage:
    """Return a training of 100 steps with an encoding in ``tmp_path``."""
    (tmp_path / "edited_encoding.py").write_text(SOURCE, encoding="utf-8")
    content = {"encodings": ["mine"], "definitions": {"mine": {"family": "edited_encoding:Mine"}}}
    return with_training(tiny_arm(tiny_files, **content).train_stage("mine", 0), tokens=256 * 100)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_model_bears_the_name_of_the_code_that_trained_it(processes, own, preloaded: Preloaded, tiny_data, tmp_path):
    own, source = with_training(own, processes=processes), tmp_path / "edited_encoding.py"
    before = sha256_of_file(source)
    run = preloaded.train(own, tiny_data, tmp_path, PYTHONPATH=str(tmp_path))
    until(lambda: list(tmp_path.glob("checkpoints/*/heartbeat.json")))
    source.write_text(EDITED, encoding="utf-8")
    assert run.wait() == 0, run.output
    first = read_json(tmp_path / "model" / "config.json")
    assert first["encoding_source"] == before
    again = preloaded.trained(own, tiny_data, tmp_path, PYTHONPATH=str(tmp_path))
    assert "trained already" not in again.output
    second = read_json(tmp_path / "model" / "config.json")
    assert second["encoding_source"] == sha256_of_file(source) != before
    assert second["fingerprint"] != first["fingerprint"]
    assert "trained already" in preloaded.trained(own, tiny_data, tmp_path, PYTHONPATH=str(tmp_path)).output


def test_one_that_was_edited_while_it_waited_is_not_run_under_the_old_name(
    own, preloaded: Preloaded, tiny_data, tmp_path
):
    own, source = with_training(own, tokens=256 * 20_000), tmp_path / "edited_encoding.py"
    first = preloaded.train(own, tiny_data, tmp_path, PYTHONPATH=str(tmp_path))
    until(lambda: list(tmp_path.glob("checkpoints/*/heartbeat.json")))
    second = preloaded.train(own, tiny_data, tmp_path, PYTHONPATH=str(tmp_path))
    until(lambda: "waiting for it to end" in second.output)
    source.write_text(EDITED, encoding="utf-8")
    first.send(signal.SIGTERM)
    assert first.wait() == 128 + signal.SIGTERM
    assert second.wait() == 1
    (line,) = second.errors
    assert f"{source} changed while the training was being started" in line
    assert not list(tmp_path.glob("checkpoints/*.failed.json")), "the next try finds the new file"
    third = preloaded.train(own, tiny_data, tmp_path, PYTHONPATH=str(tmp_path))
    until(lambda: len(list(tmp_path.glob("checkpoints/*/heartbeat.json"))) == 2)
    third.send(signal.SIGTERM)
    assert third.wait() == 128 + signal.SIGTERM
    assert "an unfinished training with another encoding_source lies there" in third.output
