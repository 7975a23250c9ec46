"""Attention with a bias on the logits, tile by tile: what is held grows with the length, not with its square.

A tile is a rectangle of some queries and some keys. The forward pass joins the tiles of a query as in
Milakov and Gimelshein 2018 (arXiv 1805.02867) and keeps one number a query, the logarithm of its softmax's
denominator. The backward pass needs no more to make each tile anew (Dao et al. 2022, arXiv 2205.14135).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BlockBias = Callable[[Tensor, Tensor], Tensor]
"""Maps positions of queries ``[queries]`` and of keys ``[keys]`` to ``[heads, queries, keys]``."""

# Logits of a tile. On a CPU it stays in the cache; a GPU wants work for all of its cores at once.
TILE_ON_CPU, TILE_ON_GPU = 2**18, 2**26
SHORTEST_SIDE = 64

_fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_fused_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def attend_in_tiles(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: BlockBias,
    positions: Tensor,
    scale: float,
    parameters: Sequence[Tensor] = (),
) -> Tensor:
    """Return causal attention ``[batch, heads, queries, value_dim]`` with a bias on the logits.

    Args:
        queries: ``[batch, heads, queries, dim]``, at the last of the positions.
        keys: ``[batch, kv_heads, keys, dim]``; each serves ``heads / kv_heads`` neighbouring heads.
        values: ``[batch, kv_heads, keys, value_dim]``; as wide as the keys on a CPU.
        bias: is asked for one tile at a time, and again in the backward pass.
        positions: of the keys, int64 ``[keys]``, rising.
        scale: factor of the inner products.
        parameters: those that the bias is made of; each gets its gradient.
    """
    return _Tiled.apply(queries, keys, values, _Logits(bias, positions, scale), *parameters)


def causal(bias: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """Return ``bias`` ``[..., queries, keys]`` with -inf where the key's position comes after the query's."""
    later = torch.zeros(len(queries), len(keys), dtype=bias.dtype, device=bias.device)
    return bias + later.masked_fill_(keys > queries[:, None], float("-inf"))


@dataclass(frozen=True)
class Tile:
    """Some queries and some keys.

    Attributes:
        rows: the queries, counted from the first query.
        columns: the keys, counted from the first key.
        diagonal: whether some of the keys come after some of the queries.
    """

    rows: slice
    columns: slice
    diagonal: bool


def tiles(count: int, total: int, area: int) -> Iterator[list[Tile]]:
    """Yield, for one block of queries after the other, the tiles of the keys up to its last query.

    Every query sees the first key of each of its tiles.

    Args:
        count: queries, which stand at the last of the keys.
        total: keys.
        area: queries times keys of a tile; the last of a block may be twice as wide.
    """
    side, past = max(SHORTEST_SIDE, int(area**0.5) // SHORTEST_SIDE * SHORTEST_SIDE), total - count
    for start in range(past, total, side):
        stop = min(start + side, total)
        begins = list(range(0, start + 1, side))
        yield [
            Tile(slice(start - past, stop - past), slice(begin, end), end > start + 1)
            for begin, end in zip(begins, [*begins[1:], stop], strict=True)
        ]


@dataclass(frozen=True)
class _Logits:
    """What is added to inner products, and what they are multiplied by."""

    bias: BlockBias
    positions: Tensor
    scale: float

    def places(self, tile: Tile, count: int) -> tuple[Tensor, Tensor]:
        """Return the positions of a tile's queries and keys, of ``count`` queries in all."""
        return self.positions[len(self.positions) - count :][tile.rows], self.positions[tile.columns]

    def mask(self, tile: Tile, queries: Tensor) -> Tensor:
        """Return the bias of a tile ``[1, heads, queries, keys]``, -inf at keys after the query.

        As wide as the queries, and float32 at least: the CPU's fused kernel would misread a narrower one.
        """
        rows, columns = self.places(tile, queries.shape[2])
        bias = self.bias(rows, columns).to(torch.promote_types(queries.dtype, torch.float32))
        return (causal(bias, rows, columns) if tile.diagonal else bias)[None]


class _Tiled(torch.autograd.Function):
    """Attention tile by tile; on a CPU the fused kernel does each, unless the bias wants a gradient."""

    @staticmethod
    def forward(
        context: Any, queries: Tensor, keys: Tensor, values: Tensor, logits: _Logits, *parameters: Tensor
    ) -> Tensor:
        exact = torch.promote_types(queries.dtype, torch.float32)
        output = queries.new_empty(*queries.shape[:3], values.shape[3])
        norm = torch.empty(queries.shape[:3], dtype=exact, device=queries.device)
        for first, *others in tiles(queries.shape[2], keys.shape[2], _area(queries, _is_fused(queries))):
            attended, log = _attend_tile(logits, queries, keys, values, first)
            attended = attended.to(exact)
            for tile in others:
                more, other = _attend_tile(logits, queries, keys, values, tile)
                joined = torch.logaddexp(log, other)
                attended.mul_((log - joined).exp_()[..., None])
                attended.addcmul_(more.to(exact), (other - joined).exp_()[..., None])
                log = joined
            output[:, :, first.rows], norm[:, :, first.rows] = attended, log
        context.save_for_backward(queries, keys, values, output, norm, *parameters)
        context.logits = logits
        return output

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, output, norm, *parameters = context.saved_tensors
        tensors = (queries, keys, values, output, norm, gradient)
        learned: list[Tensor | None] = [None] * len(parameters)
        if _is_fused(queries) and not any(context.needs_input_grad[4:]):
            gradients = _gradients_fused(context.logits, *tensors)
        else:
            gradients = _gradients_plain(context.logits, *tensors, parameters, learned)
        return *(one.to(queries.dtype) for one in gradients), None, *learned


def _is_fused(queries: Tensor) -> bool:
    """Return whether a fused kernel takes any bias: that of a CPU does, in float32 beside bfloat16 too."""
    return queries.device.type == "cpu"


def _area(queries: Tensor, fused: bool) -> int:
    """Return how many queries times keys a tile may have: a fused kernel holds the bias alone, for no batch."""
    batch, heads = queries.shape[:2]
    size = TILE_ON_CPU if queries.device.type == "cpu" else TILE_ON_GPU
    return size // (heads if fused else batch * heads)


def _attend_tile(logits: _Logits, queries: Tensor, keys: Tensor, values: Tensor, tile: Tile) -> tuple[Tensor, Tensor]:
    """Return a tile's attention ``[batch, heads, queries, value_dim]`` and the logarithm of its denominator."""
    mask = logits.mask(tile, queries)
    queries, keys, values = queries[:, :, tile.rows], keys[:, :, tile.columns], values[:, :, tile.columns]
    if _is_fused(queries):
        return _fused(queries, keys, values, attn_mask=mask, scale=logits.scale)
    exact = torch.promote_types(queries.dtype, torch.float32)
    queries, keys, values = (one.to(exact) for one in (queries, keys, values))
    products = _folded(queries * logits.scale, keys) @ keys.flatten(0, 1).mT
    weights = products.view(*queries.shape[:3], -1) + mask
    log = weights.logsumexp(dim=-1)
    weights.sub_(log[..., None]).exp_()
    return (_folded(weights, keys) @ values.flatten(0, 1)).view(*queries.shape[:3], -1), log


def _folded(heads: Tensor, keys: Tensor) -> Tensor:
    """Return ``heads`` ``[batch, heads, n, m]`` as ``[batch * kv_heads, group * n, m]``, in line with ``keys``."""
    batch, number, count, dim = heads.shape
    kv_heads = keys.shape[1]
    return heads.reshape(batch * kv_heads, number // kv_heads * count, dim)


def _gradients_fused(
    logits: _Logits, queries: Tensor, keys: Tensor, values: Tensor, output: Tensor, norm: Tensor, gradient: Tensor
) -> list[Tensor]:
    """Return the gradients of queries, keys and values by the CPU's fused kernel."""
    gradients = [torch.zeros_like(one, dtype=norm.dtype) for one in (queries, keys, values)]
    for block in tiles(queries.shape[2], keys.shape[2], _area(queries, fused=True)):
        rows = block[0].rows
        given, some, read, log = (one[:, :, rows].contiguous() for one in (gradient, queries, output, norm))
        for tile in block:
            columns, mask = tile.columns, logits.mask(tile, queries)
            seen = keys[:, :, columns], values[:, :, columns]
            parts = _fused_backward(given, some, *seen, read, log, 0.0, False, attn_mask=mask, scale=logits.scale)
            for whole, part, where in zip(gradients, parts, (rows, columns, columns), strict=True):
                whole[:, :, where] += part
    return gradients


def _gradients_plain(
    logits: _Logits,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    output: Tensor,
    norm: Tensor,
    gradient: Tensor,
    parameters: Sequence[Tensor],
    learned: list[Tensor | None],
) -> list[Tensor]:
    """Return the gradients of queries, keys and values; put those of the parameters into ``learned``."""
    exact, count, shape = norm.dtype, queries.shape[2], queries.shape[:2]
    gradient = gradient.to(exact)
    inner = (gradient * output.to(exact)).sum(-1)
    folded_keys, folded_values = (one.to(exact).flatten(0, 1) for one in (keys, values))
    for_queries = torch.empty_like(queries, dtype=exact)
    for_keys, for_values = torch.zeros_like(folded_keys), torch.zeros_like(folded_values)
    for block in tiles(count, keys.shape[2], _area(queries, fused=False)):
        rows = block[0].rows
        some, given = _folded(queries[:, :, rows].to(exact) * logits.scale, keys), _folded(gradient[:, :, rows], keys)
        here = torch.zeros_like(some)
        for tile in block:
            seen, read = folded_keys[:, tile.columns], folded_values[:, tile.columns]
            places = logits.places(tile, count)
            with torch.set_grad_enabled(bool(parameters)):
                bias = logits.bias(*places)
            weights = (some @ seen.mT).view(*shape, *bias.shape[-2:])
            weights.add_(bias.detach()).sub_(norm[:, :, rows, None])
            if tile.diagonal:
                weights.masked_fill_(places[1] > places[0][:, None], float("-inf"))
            folded_weights = _folded(weights.exp_(), keys)
            for_values[:, tile.columns].baddbmm_(folded_weights.mT, given)
            change = (given @ read.mT).view_as(weights).sub_(inner[:, :, rows, None]).mul_(weights)
            if bias.requires_grad:
                of_parameters = torch.autograd.grad(bias, parameters, change.sum(0).to(bias.dtype), allow_unused=True)
                for index, more in enumerate(of_parameters):
                    before = learned[index]
                    learned[index] = more if before is None else before if more is None else before + more
            folded_change = _folded(change, keys)
            here.baddbmm_(folded_change, seen)
            for_keys[:, tile.columns].baddbmm_(folded_change.mT, some)
        for_queries[:, :, rows] = here.view(*shape, -1, here.shape[-1]).mul_(logits.scale)
    return [for_queries, for_keys.view(keys.shape), for_values.view(values.shape)]
