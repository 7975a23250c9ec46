"""Causal self-attention, with the fused kernel where there is no bias."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

QUERY_BLOCK = 256

Bias = Callable[[Tensor, Tensor], Tensor | None]


def attend(queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor, scale: float, bias: Bias | None) -> Tensor:
    """Return causal attention ``[batch, heads, tokens, value_dim]``.

    Without a bias this is one call of the fused kernel. With one it runs in blocks of queries, so that
    no more than ``heads * block * tokens`` of bias is held at a time.

    Args:
        queries: ``[batch, heads, tokens, dim]``.
        keys: ``[batch, kv_heads, tokens, dim]``.
        values: ``[batch, kv_heads, tokens, value_dim]``.
        positions: int64 ``[tokens]``.
        scale: factor of the logits.
        bias: maps query and key positions to ``[heads, queries, keys]``; None for no bias.
    """
    grouped = queries.shape[1] != keys.shape[1]
    if bias is None:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=scale, enable_gqa=grouped)
    blocks = []
    for start in range(0, queries.shape[2], QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, queries.shape[2])
        mask = causal_bias(bias, positions, start, stop).to(queries.dtype)
        blocks.append(
            F.scaled_dot_product_attention(
                queries[:, :, start:stop], keys[:, :, :stop], values[:, :, :stop], mask, scale=scale, enable_gqa=grouped
            )
        )
    return torch.cat(blocks, dim=2)


def causal_bias(bias: Bias | None, positions: Tensor, start: int, stop: int) -> Tensor:
    """Return the bias of queries ``start`` to ``stop - 1`` on keys up to ``stop - 1``, -inf on later keys.

    Returns:
        float32 ``[1, heads or 1, stop - start, stop]``.
    """
    later = torch.ones(stop - start, stop, dtype=torch.bool, device=positions.device).triu(start + 1)
    found = None if bias is None else bias(positions[start:stop], positions[:stop])
    if found is None:
        found = torch.zeros(1, stop - start, stop, device=positions.device)
    return found.masked_fill(later, float("-inf"))[None]
