"""The effect of an encoding on a logit over distance, before any training, without model or data.

Each function calls the encoding's own hook, so that a figure shows exactly what a model is built with. The query has
one position, and keys lie at distances before it.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from hope import config
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.darope import Darope
from hope.encodings.registry import build_encoding
from hope.model.attention import LayerEncoding, causal_logits
from hope.model.decoder import named_generator

Distances = NDArray[np.int64]
Values = NDArray[np.float64]


def at_start(encoding: config.EncodingSpec, shape: EncodingShape, seed: int = 0) -> Encoding:
    """Return an encoding with the initial parameters of a model of this seed."""
    built = build_encoding(encoding, shape)
    built.initialise(lambda name: named_generator(seed, f"encoding.{name}"))
    return built


def equal_pair(encoding: Encoding, query: int, distance: Distances) -> Values:
    """Return the logit of a query and a key whose entries are all 1, relative to distance 0.

    For a rotation this is its mean kernel. Encodings that depend on content are given hidden states of 0.

    Args:
        encoding: one that acts on queries and keys, or on nothing.
        query: position of the query.
        distance: rising, from 1 to at most ``query``.
    """
    positions = torch.from_numpy(np.append(query - distance[::-1], query))
    turned, keys = _rotated_ones(encoding, positions)
    with torch.inference_mode():
        logits = causal_logits(turned[:, :, -1:], keys, LayerEncoding(encoding, 0, positions), 1.0)
    logit = logits[0, 0, 0].double().numpy()
    return logit[-2::-1] / logit[-1]


def widening(encoding: Encoding) -> int:
    """Return the factor by which the encoding widens queries and keys."""
    turned, _ = _rotated_ones(encoding, torch.arange(2))
    return turned.shape[-1] // encoding.shape.head_dim


def bias_of_heads(encoding: Encoding, query: int, distance: Distances) -> Values:
    """Return the logit bias of the first layer, ``[heads, distances]``, of an encoding with a bias."""
    heads = torch.arange(encoding.shape.heads)[:, None]
    with torch.inference_mode():
        bias = encoding.bias(heads, torch.tensor(query), torch.from_numpy(query - distance), 0)
    return bias.expand(len(heads), len(distance)).double().numpy()


def position_products(encoding: Encoding, query: int, distance: Distances) -> Values:
    """Return the inner product of the vectors added to two embeddings, relative to distance 0.

    Args:
        encoding: one that acts on embeddings.
        query: the later position, which must exist in the encoding.
        distance: rising, from 1 to at most ``query``.
    """
    positions = torch.from_numpy(np.append(query - distance, query))
    with torch.inference_mode():
        rows = encoding.embed(torch.zeros(1, len(positions), encoding.shape.width), positions)[0].double()
    return (rows[:-1] @ rows[-1] / (rows[-1] @ rows[-1])).numpy()


def clock(encoding: Darope, positions: NDArray[np.int64]) -> Values:
    """Return the position at which DaRoPE's slow components stand, in tokens, for hidden states of 0."""
    with torch.inference_mode():
        *_, place = encoding.prepare(torch.from_numpy(positions))
        hidden = torch.zeros(1, len(positions), encoding.shape.width)
        return encoding.clock(hidden, place, 0)[0, 0].double().numpy()


def _rotated_ones(encoding: Encoding, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    shape = encoding.shape
    queries, keys = (torch.ones(1, heads, len(positions), shape.head_dim) for heads in (shape.heads, shape.kv_heads))
    hidden = torch.zeros(1, len(positions), shape.width)
    with torch.inference_mode():
        return encoding.rotate(queries, keys, encoding.prepare(positions), hidden, 0)
