"""Models of every shape that an export must get right, each in a study of its own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from hope.config import MAIN, to_json
from hope.data.tokenizer import fit_tokenizer, save_tokenizer, vocabulary_size
from hope.files import write_text
from hope.model.decoder import Decoder
from hope.model.loading import save_model
from hope.model.threads import cpu_threads
from hope.paths import StudyPaths
from tests.conftest import tiny_study
from tests.interchange.made_models import Made

TEXT = (
    "def turn(heads, cosine):\n    return heads * cosine  # it's 12345 turns, they'll say: \u00e9\u6f22\U0001f680\n\n"
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small models are slower on two threads, and far slower where a core is taken."""
    with cpu_threads(1):
        yield


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return fit_tokenizer([TEXT * 8], 300)


@pytest.fixture(scope="session")
def make(tokenizer, tmp_path_factory) -> Callable[..., Made]:
    """Return a function that makes a model in a study of its own, far from uniform in what it attends to and says."""

    def make(
        family: str,
        settings: dict[str, Any] | None = None,
        head_dim: int = 16,
        length: int = 64,
        layers: int = 2,
        **training: Any,
    ) -> Made:
        root = tmp_path_factory.mktemp("study")
        study = tiny_study(
            root,
            encodings=["it"],
            definitions={"it": {"family": family, "settings": settings or {}}},
            model={
                "layers": layers,
                "heads": 4,
                "kv_heads": 2,
                "width": 4 * head_dim,
                "tied_embeddings": head_dim != 64,
            },
            training={"length": length, **training},
        )
        arm, paths = study.arms[MAIN], StudyPaths(root)
        write_text(paths.config, to_json(study))
        save_tokenizer(tokenizer, paths.data(arm.data_key) / "tokenizer")
        stage = arm.train_stage("it", 3)
        model = Decoder(stage.model, vocabulary_size(tokenizer), length, stage.encoding).initialise(3).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() == 1:
                    parameter.add_(torch.rand(len(parameter), generator=torch.Generator().manual_seed(1)))
                elif not name.startswith("encoding."):
                    parameter.mul_(20 if name in ("embedding.weight", "head.weight") else 2)
        folder = paths.run(MAIN, "it", 3).model
        save_model(model, dict(model.state_dict()), stage, "0123456789abcdef", folder)
        return Made(folder, model, paths.data(arm.data_key))

    return make
