"""Folders of small models, and held-out tokens, written by their formats."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_model import LENGTH, SHAPE, SPECIAL, VOCABULARY, contestant, tiny_decoder

from hope import config
from hope.model.loading import save_model


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
    folder = tmp_path_factory.mktemp("data") / "validation"
    folder.mkdir()
    random = np.random.default_rng(3)
    lengths = [200, 40, 150, 90, 300, 20]
    documents = [np.append(random.integers(4, VOCABULARY, length - 1), SPECIAL["end"]) for length in lengths]
    tokens = np.concatenate(documents).astype("<u2")
    starts = np.concatenate(([0], np.cumsum(lengths))).astype("<i8")
    (folder / "shard-00000.bin").write_bytes(tokens.tobytes())
    (folder / "documents.bin").write_bytes(starts.tobytes())
    manifest = {
        "format": 1,
        "split": "validation",
        "dtype": "uint16",
        "vocabulary": VOCABULARY,
        "special": SPECIAL,
        "tokens": len(tokens),
        "documents": len(lengths),
        "shards": [
            {
                "file": "shard-00000.bin",
                "tokens": len(tokens),
                "sha256": hashlib.sha256(tokens.tobytes()).hexdigest(),
            }
        ],
        "documents_sha256": hashlib.sha256(starts.tobytes()).hexdigest(),
        "tokenizer_sha256": "0" * 64,
        "corpus_digest": "0" * 64,
        "characters": 4 * len(tokens),
    }
    manifest["digest"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder.parent
