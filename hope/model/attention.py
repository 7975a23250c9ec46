"""Causal self-attention: the fused kernel where there is no bias on the logits, others where there is."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hope.encodings.base import Encoding
from hope.model.tiles import BlockBias, attend_in_tiles, causal

# As few logits as this are made in one piece on a CPU, and kept for the backward pass.
WHOLE = 2**19
# Logits of an encoding's own that are held at a time.
HELD_ON_CPU, HELD_ON_GPU = 2**20, 2**26
# FlexAttention takes no narrower heads.
LEAST_FLEX_DIM = 16


@dataclass(frozen=True)
class LayerEncoding:
    """Where the queries and keys of one layer stand, and what else makes logits of their products.

    Attributes:
        encoding: the model's encoding.
        layer: index of the layer, from 0.
        positions: of the keys, int64 ``[keys]``, rising; the queries stand at the last of them.
        softcap: c of ``c tanh(logit / c)``, which keeps logits between -c and c; None for none (Gemma 2,
            arXiv 2408.00118).
        mask: what a stock model adds to the logits, ``[batch or 1, heads or 1, keys, keys]``, or which keys a query
            sees, as bool; None for all keys up to the query. With a mask there are as many queries as keys.
    """

    encoding: Encoding
    layer: int
    positions: Tensor
    softcap: float | None = None
    mask: Tensor | None = None

    def bias(self, heads: int) -> BlockBias | None:
        """Return the encoding's bias for all of a layer's ``heads`` query heads; None if it has none."""
        if not self.encoding.has_bias:
            return None
        index = torch.arange(heads, device=self.positions.device)[:, None, None]

        def bias(queries: Tensor, keys: Tensor) -> Tensor:
            logit_bias = self.encoding.bias(index, queries[:, None], keys, self.layer)
            return logit_bias.expand(heads, len(queries), len(keys))

        return bias

    def parameters(self) -> list[Tensor]:
        """Return the encoding's parameters that are trained.

        Each is asked for by its name: that alone gathers one that ZeRO's third stage has spread out.
        """
        named = self.encoding.named_parameters()
        return [self.encoding.get_parameter(name) for name, one in named if one.requires_grad]

    def single_bias(self, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        """Return the encoding's bias for a head and the positions of a query and a key, single numbers."""
        return self.encoding.bias(head, query, key, self.layer)


@dataclass(frozen=True)
class LayerAttention:
    """The attention of one layer, as an observer of a pass gets it.

    Attributes:
        queries: after the encoding, ``[batch, heads, tokens, dim]``.
        keys: after the encoding, ``[batch, kv_heads, tokens, dim]``.
        layer_encoding: where they stand.
        scale: factor of the inner products.
    """

    queries: Tensor
    keys: Tensor
    layer_encoding: LayerEncoding
    scale: float

    @property
    def layer(self) -> int:
        """Index of the layer, from 0."""
        return self.layer_encoding.layer

    def logits(self, start: int, stop: int) -> Tensor:
        """Return the logits of queries ``start`` to ``stop - 1`` on keys up to the last of them.

        Returns:
            float32 ``[batch, heads, stop - start, stop]``, -inf at keys that a query does not see.
        """
        return causal_logits(self.queries[:, :, start:stop], self.keys[:, :, :stop], self.layer_encoding, self.scale)


@dataclass(frozen=True)
class LayerWeights:
    """The attention of one layer of a model that shows neither queries nor keys.

    Attributes:
        layer: index of the layer, from 0.
        weights: of all queries and keys, ``[batch, heads, tokens, tokens]``.
    """

    layer: int
    weights: Tensor

    def logits(self, start: int, stop: int) -> Tensor:
        """Return logits with these weights, in the form of :meth:`LayerAttention.logits`."""
        return self.weights[:, :, start:stop, :stop].float().log()


Observer = Callable[[LayerAttention | LayerWeights], None]
"""Is called with the attention of each layer of a pass, in order."""


def attend(queries: Tensor, keys: Tensor, values: Tensor, layer_encoding: LayerEncoding, scale: float) -> Tensor:
    """Return causal attention ``[batch, heads, queries, value_dim]``.

    Without a bias this is one call of the fused kernel. A bias is compiled into FlexAttention on a GPU, where
    it can be, and is made tile by tile elsewhere. Logits of an encoding's own are made for a block of queries
    at a time. Each way memory grows with the length, not with its square, in the backward pass too.

    Args:
        queries: ``[batch, heads, queries, dim]``, at the last of the keys' positions.
        keys: ``[batch, kv_heads, keys, dim]``.
        values: ``[batch, kv_heads, keys, value_dim]``.
        layer_encoding: where they stand.
        scale: factor of the logits.
    """
    batch, heads, count, dim = queries.shape
    total, encoding, on_cpu = keys.shape[2], layer_encoding.encoding, queries.device.type == "cpu"
    bias, mask = layer_encoding.bias(heads), layer_encoding.mask
    if encoding.has_logits or layer_encoding.softcap is not None or (bias is not None and mask is not None):
        return _own_logits(queries, keys, values, layer_encoding, scale)
    if bias is not None and queries.is_cuda and count == total and flexible(encoding, dim):
        from hope.model.flex import attend_flex

        return attend_flex(queries, keys, values, layer_encoding.single_bias, layer_encoding.positions, scale)
    width = values.shape[3]
    if on_cpu and width != dim:
        # The CPU's fused kernel knows equal widths alone; without it all logits would be held.
        queries, keys, values = (F.pad(one, (0, max(width, dim) - one.shape[3])) for one in (queries, keys, values))
    if mask is not None:
        attended = _fused(queries, keys, values, scale, mask=mask)
    elif bias is None and count in (1, total):
        attended = _fused(queries, keys, values, scale, causal=count == total)
    elif on_cpu and batch * heads * count * total <= WHOLE:
        mask = causal_bias(bias, layer_encoding.positions, total - count, total)
        attended = _fused(queries, keys, values, scale, mask=mask)
    else:
        parameters = layer_encoding.parameters() if bias else []
        attended = attend_in_tiles(queries, keys, values, bias or _no_bias, layer_encoding.positions, scale, parameters)
    return attended[..., :width]


def flexible(encoding: Encoding, dim: int) -> bool:
    """Return whether FlexAttention can compile an encoding's bias, for heads of ``dim`` dimensions."""
    return encoding.compiles and dim >= LEAST_FLEX_DIM


def _fused(
    queries: Tensor, keys: Tensor, values: Tensor, scale: float, mask: Tensor | None = None, causal: bool = False
) -> Tensor:
    grouped = queries.shape[1] != keys.shape[1]
    if mask is not None and mask.dtype != torch.bool:
        # A mask narrower than the queries gives wrong numbers on a CPU, without an error.
        mask = mask.to(torch.promote_types(queries.dtype, torch.float32))
    return F.scaled_dot_product_attention(
        queries, keys, values, mask, is_causal=causal, scale=scale, enable_gqa=grouped
    )


def _no_bias(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.zeros(1, len(queries), len(keys), device=queries.device)


def _own_logits(queries: Tensor, keys: Tensor, values: Tensor, layer_encoding: LayerEncoding, scale: float) -> Tensor:
    """Return attention with logits that no fused kernel makes, a block of queries at a time."""
    (batch, heads, count, _), total = queries.shape, keys.shape[2]
    held = HELD_ON_CPU if queries.device.type == "cpu" else HELD_ON_GPU
    step = max(1, held // (batch * heads * total))
    blocks = []
    for start in range(0, count, step):
        stop = min(start + step, count)
        seen = total - count + stop
        part = (queries[:, :, start:stop], keys[:, :, :seen], values[:, :, :seen], layer_encoding, scale)
        if step < count and torch.is_grad_enabled():
            blocks.append(checkpoint(_explicit, *part, use_reentrant=False))
        else:
            blocks.append(_explicit(*part))
    return torch.cat(blocks, dim=2)


def _explicit(queries: Tensor, keys: Tensor, values: Tensor, layer_encoding: LayerEncoding, scale: float) -> Tensor:
    """Return the attention of queries at the last of the keys, with all of their logits held."""
    weights = causal_logits(queries, keys, layer_encoding, scale).softmax(dim=-1).to(values.dtype)
    return weights @ _for_each_head(values, queries.shape[1])


def causal_logits(queries: Tensor, keys: Tensor, layer_encoding: LayerEncoding, scale: float) -> Tensor:
    """Return the attention logits, whole: float32 ``[batch, heads, queries, keys]``, -inf at keys not seen.

    Args:
        queries: ``[batch, heads, queries, dim]``, at the last of the keys' positions.
        keys: ``[batch, kv_heads, keys, dim]``, from the first position on; each serves ``heads / kv_heads``
            neighbouring heads.
        layer_encoding: where they stand.
        scale: factor of the inner products.
    """
    batch, heads, count, dim = queries.shape
    stop, softcap, mask = keys.shape[2], layer_encoding.softcap, layer_encoding.mask
    if layer_encoding.encoding.has_logits:
        repeated = _for_each_head(keys, heads)
        products = layer_encoding.encoding.logits(
            queries, repeated, layer_encoding.positions[:stop], layer_encoding.layer
        ).float()
    else:
        grouped = queries.float().reshape(batch, keys.shape[1], -1, dim)
        products = (grouped @ keys.float().transpose(2, 3)).view(batch, heads, count, stop)
    logits = products * scale + causal_bias(layer_encoding.bias(heads), layer_encoding.positions, stop - count, stop)
    if softcap is not None:
        # A key after the query is at -inf, and stays there.
        logits = torch.where(logits == float("-inf"), logits, softcap * torch.tanh(logits / softcap))
    if mask is None:
        return logits
    mask = mask[..., stop - count : stop, :stop]
    if mask.dtype == torch.bool:
        return logits.masked_fill(~mask, float("-inf"))
    return logits + mask.float()


def causal_bias(bias: BlockBias | None, positions: Tensor, start: int, stop: int) -> Tensor:
    """Return the bias of queries ``start`` to ``stop - 1`` on keys up to ``stop - 1``, -inf on later keys.

    Returns:
        float32 ``[1, heads or 1, stop - start, stop]``.
    """
    queries, keys = positions[start:stop], positions[:stop]
    return causal((bias or _no_bias)(queries, keys), queries, keys)[None]


def _for_each_head(grouped: Tensor, heads: int) -> Tensor:
    """Return ``grouped`` ``[batch, kv_heads, keys, dim]`` for every query head."""
    group = heads // grouped.shape[1]
    return grouped if group == 1 else grouped.repeat_interleave(group, dim=1)
