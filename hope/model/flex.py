"""Attention with a bias on the logits on a GPU, by FlexAttention (Dong et al. 2024, arXiv 2412.05496).

One kernel is compiled from the bias. Neither the bias nor the logits are ever held; parameters that the
bias looks up get their gradients.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._dynamo import config as dynamo
from torch.nn.attention.flex_attention import BlockMask, flex_attention

PairBias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Maps single numbers, a head and the positions of a query and of a key, to what is added to their logit."""

BLOCK = 128
KERNELS = 512
"""Kernels that one process may compile: one for each bias, and for each layer where the bias differs by it."""


def attend_flex(
    queries: Tensor, keys: Tensor, values: Tensor, bias: PairBias, positions: Tensor, scale: float
) -> Tensor:
    """Return causal attention ``[batch, heads, tokens, value_dim]`` of tokens to themselves.

    On a CPU this is FlexAttention's definition, which holds all logits: for tests alone.

    Args:
        queries: ``[batch, heads, tokens, dim]``.
        keys: ``[batch, kv_heads, tokens, dim]``; each serves ``heads / kv_heads`` neighbouring heads.
        values: ``[batch, kv_heads, tokens, value_dim]``.
        bias: arithmetic, and lookups by index.
        positions: int64 ``[tokens]``.
        scale: factor of the inner products.
    """

    def score(product: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return product + bias(head, positions[query], positions[key])

    mask, grouped = causal_blocks(queries.shape[2], queries.device), queries.shape[1] != keys.shape[1]
    kernel: Any = _compiled if queries.is_cuda and not torch.compiler.is_compiling() else flex_attention
    return kernel(queries, keys, values, score, mask, scale=scale, enable_gqa=grouped)


def _compiled(*arguments: Any, **options: Any) -> Any:
    # Past its limit the compiler would silently fall back on the definition.
    with dynamo.patch(recompile_limit=KERNELS, accumulated_recompile_limit=KERNELS):
        return _compiled_kernel()(*arguments, **options)


@functools.cache
def _compiled_kernel() -> Callable[..., Any]:
    return torch.compile(flex_attention, fullgraph=True)


@functools.lru_cache(maxsize=8)
def causal_blocks(tokens: int, device: torch.device) -> BlockMask:
    """Return which blocks of queries and keys meet: those before the diagonal whole, those on it in part.

    If the last block of queries is not full, it meets all of its keys in part. Written down directly, since
    FlexAttention's own way looks at every pair of tokens.
    """
    blocks = -(-tokens // BLOCK)
    index = torch.arange(blocks, dtype=torch.int32, device=device)
    whole = index.clone()
    if tokens % BLOCK:
        whole[-1] = 0
    # A row of each table begins with the blocks that count; the rest of it is not read.
    return BlockMask.from_kv_blocks(
        (index + 1 - whole)[None, None],
        ((whole[:, None] + index) % blocks)[None, None],
        whole[None, None],
        index.expand(1, 1, blocks, blocks).contiguous(),
        BLOCK_SIZE=BLOCK,
        mask_mod=_not_later,
        seq_lengths=(tokens, tokens),
    )


def _not_later(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
    return key <= query
