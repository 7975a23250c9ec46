"""Small models with predictions far from uniform, their exact losses, and the sizes that the tests share."""

import numpy as np
import torch
from scipy.special import log_softmax

from hope import config
from hope.catalogue import family_settings
from hope.model.decoder import Decoder

LENGTH = 16
VOCABULARY = 120
SPECIAL = {"start": 0, "end": 1, "separator": 2, "query": 3}
SHAPE = config.Model(layers=2, width=16, heads=2, mlp_width=24)


def contestant(encoding: str) -> config.EncodingSpec:
    return config.EncodingSpec(name=encoding, family=encoding, settings=family_settings(encoding, {}))


def tiny_decoder(encoding: str = "rope", seed: int = 0, vocabulary: int = VOCABULARY) -> Decoder:
    """Return a decoder with weights large enough that its predictions are far from uniform."""
    model = Decoder(SHAPE, vocabulary, LENGTH, contestant(encoding)).initialise(seed).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(12.0)
    return model


def exact_losses(model: Decoder, tokens: np.ndarray) -> np.ndarray:
    """Return the loss at each position of one row, from all logits at once, in float64."""
    model = model.double()
    with torch.inference_mode():
        logits = model.logits(model(torch.from_numpy(tokens[None, :-1]))).numpy()[0]
    return -log_softmax(logits, axis=-1)[np.arange(len(tokens) - 1), tokens[1:]]
