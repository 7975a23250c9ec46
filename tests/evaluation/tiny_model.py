"""Small models with strong opinions, and the sizes that the tests of this room share."""

import torch

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
