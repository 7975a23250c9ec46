"""Folders of small models, and held-out tokens, written by their formats."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_model import LENGTH, SHAPE, SPECIAL, VOCABULARY, contestant, tiny_decoder

from hope import config
from hope.model.loading import save_model
from tests.token_folder import write_held_out


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the folder of a model and returns it."""

    def make(encoding: str = "rope", seed: int = 0, share: float = 0.3, vocabulary: int = VOCABULARY) -> Path:
        model = tiny_decoder(encoding, seed, vocabulary)
        stage = config.TrainStage(
            encoding=contestant(encoding),
            seed=seed,
            model=SHAPE,
            training=config.Training(length=LENGTH),
            mixture=config.Mixture(share=share, tasks={"copy": 1.0}),
            tasks={"copy": config.TaskDefinition(task="copy")},
        )
        folder = tmp_path / f"{encoding}-{seed}-{share}-{vocabulary}"
        save_model(model, model.state_dict(), stage, "0" * 16, folder)
        return folder

    return make


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with six held-out documents, four of them long."""
    lengths = [200, 40, 150, 90, 300, 20]
    return write_held_out(tmp_path_factory.mktemp("data"), lengths, VOCABULARY, SPECIAL, seed=3)
