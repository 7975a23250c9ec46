"""The base class of positional encodings: hooks on embeddings, on queries and keys, and on logits, all optional."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hope.catalogue.family import EncodingShape

__all__ = ["Encoding", "EncodingShape"]

_HOOKS = ("embed", "prepare", "rotate", "bias", "logits")


class Encoding(nn.Module):
    """A positional encoding. The hooks here do nothing; a subclass overrides those that it needs.

    One instance serves all layers of a model; parameters that differ by layer are indexed by it.
    Positions are int64, one row for the whole batch, ``[tokens]``; they need not begin at 0. Hooks of several passes
    alternate, in threads or for the parts of a long text: what one of them leaves on the instance, no other may need.

    Attributes:
        longest: number of positions, 0 to ``longest - 1``; None for no limit.
        has_bias: True if :meth:`bias` is used. Attention without a bias runs the fused kernel.
        has_logits: True if :meth:`logits` replaces the inner products.
        recodes: True if cached keys must be rotated again as the sequence grows. A cache then holds keys as they
            were before :meth:`rotate`, which gets all of them with every new token.
        span: number of tokens that may be encoded together; None for any number. Longer passes run in blocks of
            queries, and the keys are encoded again for each block. Needs ``recodes``. The analysis of attention needs
            the training length.
        compiles: True if :meth:`bias` can be compiled into a kernel: arithmetic, and lookups by index, of single
            numbers. Otherwise attention with a bias runs in blocks of queries on a GPU too.
    """

    longest: int | None = None
    has_bias: bool = False
    has_logits: bool = False
    recodes: bool = False
    span: int | None = None
    compiles: bool = True

    def __init__(self, shape: EncodingShape) -> None:
        """Keep ``shape``; a subclass takes its settings as further keyword arguments."""
        super().__init__()
        self.shape = shape

    @classmethod
    def own_hooks(cls) -> set[str]:
        """Return the names of the hooks that the class overrides."""
        return {hook for hook in _HOOKS if getattr(cls, hook) is not getattr(Encoding, hook)}

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Draw the encoding's own parameters; ``generator(name)`` depends on the seed and the name alone."""

    def embed(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        """Return the token embeddings ``[batch, tokens, width]`` with positions encoded."""
        return embeddings

    def prepare(self, positions: Tensor) -> Any:
        """Return tables for :meth:`rotate`, computed once for all layers from the positions of the keys."""
        return None

    def rotate(self, queries: Tensor, keys: Tensor, prepared: Any, hidden: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return queries and keys with positions encoded.

        The queries stand at the last of the keys' positions. There are fewer queries than keys only if ``recodes``
        is set: cached keys then come again with each new query.

        Args:
            queries: ``[batch, heads, queries, head_dim]``.
            keys: ``[batch, kv_heads, keys, head_dim]``.
            prepared: the result of :meth:`prepare` for the positions of the keys.
            hidden: the layer's normalised input at the queries, ``[batch, queries, width]``, for
                encodings that depend on content.
            layer: index of the layer, from 0.

        Returns:
            Queries and keys; their last dimension may differ from ``head_dim`` but is the same in both.
        """
        return queries, keys

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the bias that is added to the attention logits, in float32.

        Elementwise: the three arguments broadcast, and so does the result. On a CPU they are ``[heads, 1, 1]``,
        ``[queries, 1]`` and ``[keys]``; a GPU kernel passes single numbers. The bias where the key comes after the
        query is not used, but must be finite, with finite gradients.

        Args:
            heads: indices of query heads, int64.
            queries: positions of queries, int64.
            keys: positions of keys, int64.
            layer: index of the layer, from 0.
        """
        raise NotImplementedError

    def logits(self, queries: Tensor, keys: Tensor, positions: Tensor, layer: int) -> Tensor:
        """Return unscaled logits in place of the inner products, ``[batch, heads, queries, keys]``.

        Called for one block of queries at a time, with the keys up to the last query.

        Args:
            queries: after :meth:`rotate`, ``[batch, heads, queries, dim]``; they stand at the last of the positions.
            keys: after :meth:`rotate`, repeated for every query head, ``[batch, heads, keys, dim]``.
            positions: of the keys, int64 ``[keys]``.
            layer: index of the layer, from 0.
        """
        raise NotImplementedError

    def phasors(self, distance: NDArray[np.int64]) -> NDArray[np.complex128] | None:
        """Return the factor of each component of a logit over distance, ``[distances, components]``, for figures.

        A component that is 1 at distance 0 is the real part of this factor at distance D. None if a logit is no sum
        of such components, or depends on more than the distance.
        """
        return None
