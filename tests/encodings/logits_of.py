"""Encodings by name, and the logits that one gives to queries and keys at given positions."""

from torch import Tensor

from hope import config
from hope.catalogue import PRESETS, family_settings
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.registry import build_encoding
from hope.model.attention import LayerEncoding, causal_logits


def named(name: str) -> config.EncodingSpec:
    """Return a family or a preset as a study lists it."""
    family, settings = (PRESETS[name].family, PRESETS[name].settings) if name in PRESETS else (name, {})
    return config.EncodingSpec(name=name, family=family, settings=family_settings(family, settings))


def built(family: str, shape: EncodingShape, **settings: object) -> Encoding:
    """Return the module of a built-in family."""
    filled = family_settings(family, settings)
    return build_encoding(config.EncodingSpec(name=family, family=family, settings=filled), shape)


def logits_of(
    encoding: Encoding, queries: Tensor, keys: Tensor, positions: Tensor, hidden: Tensor | None = None, layer: int = 0
) -> Tensor:
    """Return the unscaled logits ``[batch, heads, tokens, tokens]`` of tokens at ``positions``, -inf at later keys."""
    if hidden is None:
        hidden = queries.new_zeros(len(queries), len(positions), encoding.shape.width)
    turned = encoding.rotate(queries, keys, encoding.prepare(positions), hidden, layer)
    return causal_logits(*turned, LayerEncoding(encoding, layer, positions), 1.0)
