"""Folders of small models, as a training writes them."""

from pathlib import Path

import torch

from hope.config import MAIN, merge, parse_study
from hope.model.decoder import Decoder
from hope.model.loading import save_model

LENGTH = 16
VOCABULARY = 64
STUDY = {
    "study": "folders",
    "model": {"layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "mlp_width": 64},
    "training": {"length": LENGTH},
    "mixture": {"share": 0.0},
    "retrieval": {"tasks": []},
    "extrapolation": {"targets": 8},
}


def save(folder: Path, name: str, seed: int = 3, loud: float = 8.0, **sizes: object) -> Decoder:
    """Write a model of the encoding ``name`` and return it.

    Its matrices are scaled up by ``loud``, so that heads attend sharply and logits lie far apart.
    """
    study = parse_study(merge(STUDY, {"encodings": [name], "model": sizes}), "folders")
    stage = study.arms[MAIN].train_stage(name, seed)
    model = Decoder(stage.model, VOCABULARY, LENGTH, stage.encoding).initialise(seed).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() > 1 and not parameter_name.startswith("encoding."):
                parameter.mul_(loud)
    save_model(model, dict(model.state_dict()), stage, "key", folder)
    return model


def prompt(rows: int = 2, length: int = 8) -> torch.Tensor:
    """Return token ids ``[rows, length]``."""
    return torch.randint(VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(0))
