"""Encodings by name, and the logits and biases that they give to tokens at given positions."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from hope import config
from hope.catalogue import FAMILIES, PRESETS, family_settings
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.registry import build_encoding
from hope.model.attention import LayerEncoding, causal_logits

KINDS = [name for name, family in FAMILIES.items() if not family.rotary or name in ("rope", "hope")]
"""One family per class: the rotary families share one, and differ in their frequencies alone."""
FARTHEST = 1_048_576


def shape_of(head_dim: int = 16, length: int = 64, heads: int = 4, kv_heads: int = 2, layers: int = 2) -> EncodingShape:
    """Return the sizes of a decoder whose heads together are as wide as its residual stream."""
    return EncodingShape(layers, heads * head_dim, heads, kv_heads, head_dim, length)


def named(name: str) -> config.EncodingSpec:
    """Return a family or a preset as a study lists it."""
    family, settings = (PRESETS[name].family, PRESETS[name].settings) if name in PRESETS else (name, {})
    return config.EncodingSpec(name=name, family=family, settings=family_settings(family, settings))


def built(family: str, shape: EncodingShape, **settings: object) -> Encoding:
    """Return the module of a built-in family."""
    filled = family_settings(family, settings)
    return build_encoding(config.EncodingSpec(name=family, family=family, settings=filled), shape)


def drawn(family: str, shape: EncodingShape, **settings: object) -> Encoding:
    """Return the module of a built-in family with its first parameters."""
    encoding = built(family, shape, **settings)
    encoding.initialise(lambda name: torch.Generator().manual_seed(sum(map(ord, name))))
    return encoding


def random(*sizes: int, seed: int = 0) -> Tensor:
    """Return normal numbers, the same for a seed."""
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


def logits_of(
    encoding: Encoding, queries: Tensor, keys: Tensor, positions: Tensor, hidden: Tensor | None = None, layer: int = 0
) -> Tensor:
    """Return the unscaled logits ``[batch, heads, tokens, tokens]`` of tokens at ``positions``, -inf at later keys."""
    if hidden is None:
        hidden = queries.new_zeros(len(queries), len(positions), encoding.shape.width)
    turned = encoding.rotate(queries, keys, encoding.prepare(positions), hidden, layer)
    return causal_logits(*turned, LayerEncoding(encoding, layer, positions), 1.0)


def bias_of(encoding: Encoding, positions: Tensor, layer: int = 0) -> Tensor:
    """Return the bias ``[heads, tokens, tokens]`` between tokens at ``positions``."""
    return encoding.bias(torch.arange(encoding.shape.heads)[:, None, None], positions[:, None], positions, layer)


def assert_pairs(
    found: Tensor, formula: Callable[[int, int, int], float], atol: float = 0.0, rtol: float = 0.0
) -> None:
    """Compare ``found`` ``[heads, tokens, tokens]`` with ``formula(head, query, key)`` at every key up to the query."""
    heads, tokens, _ = found.shape
    for head, query in product(range(heads), range(tokens)):
        expected = torch.tensor([formula(head, query, key) for key in range(query + 1)], dtype=torch.float64)
        torch.testing.assert_close(found[head, query, : query + 1].double(), expected, atol=atol, rtol=rtol)
