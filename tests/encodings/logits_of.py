"""Attention logits of an encoding, of queries and keys at given positions."""

from torch import Tensor

from hope import config
from hope.catalogue import PRESETS, family_settings
from hope.encodings.base import Encoding
from hope.model.attention import LayerEncoding, causal_logits


def named(name: str) -> config.Encoding:
    """Return a family or a preset as a study lists it."""
    family, settings = (PRESETS[name].family, PRESETS[name].settings) if name in PRESETS else (name, {})
    return config.Encoding(name=name, family=family, settings=family_settings(family, settings))


def logits_of(
    encoding: Encoding, queries: Tensor, keys: Tensor, positions: Tensor, hidden: Tensor | None = None, layer: int = 0
) -> Tensor:
    """Return the unscaled logits ``[batch, heads, tokens, tokens]`` of tokens at ``positions``, -inf at later keys."""
    if hidden is None:
        hidden = queries.new_zeros(len(queries), len(positions), encoding.shape.width)
    turned = encoding.rotate(queries, keys, encoding.prepare(positions), hidden, layer)
    return causal_logits(*turned, LayerEncoding(encoding, layer, positions), 1.0)
