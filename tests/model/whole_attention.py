"""Attention as its formula says it, whole and in float64: what every path is held against."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hope.catalogue import FAMILIES, family_settings
from hope.encodings.base import Encoding, EncodingShape
from hope.model.attention import LayerEncoding

HEADS, DIM = 4, 16
BIASED = [name for name, family in FAMILIES.items() if family.kernel == "bias"]


def encoding_of(name: str, heads: int = HEADS, kv_heads: int = 2, dim: int = DIM) -> Encoding:
    """Return an encoding of two layers with drawn parameters."""
    from hope import config
    from hope.encodings.registry import build_encoding

    shape = EncodingShape(layers=2, width=heads * dim, heads=heads, kv_heads=kv_heads, head_dim=dim, length=64)
    built = build_encoding(config.EncodingSpec(name=name, family=name, settings=family_settings(name, {})), shape)
    built.initialise(lambda parameter: torch.Generator().manual_seed(len(parameter)))
    return built


def drawn(count: int, total: int, kv_heads: int = 2, value_dim: int = DIM, dtype: torch.dtype = torch.float32):
    """Return queries, keys and values that want gradients, and the gradient of what they give."""
    random = torch.Generator().manual_seed(count + total)
    sizes = ((HEADS, count, DIM), (kv_heads, total, DIM), (kv_heads, total, value_dim))
    inputs = [torch.randn(2, *size, generator=random).to(dtype).requires_grad_() for size in sizes]
    return inputs, torch.randn(2, HEADS, count, value_dim, generator=random).to(dtype)


def whole_attention(
    queries: Tensor, keys: Tensor, values: Tensor, layer_encoding: LayerEncoding, scale: float
) -> Tensor:
    """Return causal attention with the encoding's bias, all logits at once, in float64."""
    queries, keys, values = queries.double(), keys.double(), values.double()
    (_, heads, count, _), total = queries.shape, keys.shape[2]
    group = heads // keys.shape[1]
    logits = scale * torch.einsum("bhqd,bhkd->bhqk", queries, keys.repeat_interleave(group, 1))
    at, seen = layer_encoding.positions[total - count :], layer_encoding.positions
    if layer_encoding.encoding.has_bias:
        logits = logits + layer_encoding.encoding.bias(
            torch.arange(heads)[:, None, None], at[:, None], seen, layer_encoding.layer
        )
    logits = logits.masked_fill(seen > at[:, None], float("-inf"))
    return logits.softmax(-1) @ values.repeat_interleave(group, 1)


def both(found: Tensor, expected: Tensor, gradient: Tensor, inputs: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return the two results, and the two gradients of each input, as pairs."""
    ours = torch.autograd.grad(found, inputs, gradient, allow_unused=True)
    theirs = torch.autograd.grad(expected, inputs, gradient.double(), allow_unused=True)
    return [(found, expected), *zip(ours, theirs, strict=True)]


def assert_close(pairs: list[tuple[Tensor, Tensor]], tolerance: float = 2e-5) -> None:
    """Assert that pairs agree to a share of the largest number in them."""
    for one, other in pairs:
        assert (one is None) == (other is None)
        if one is not None:
            size = max(1.0, other.detach().abs().max().item())
            torch.testing.assert_close(one.double(), other.double(), atol=tolerance * size, rtol=0)
