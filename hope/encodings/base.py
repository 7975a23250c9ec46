"""What a positional encoding is: three hooks, all optional."""

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
    """A positional encoding. Every hook may be left as it is here, which does nothing.

    One instance serves all layers of a model; parameters that differ by layer are indexed by it.
    Positions are int64, one row for the whole batch, ``[tokens]``; nothing says that they begin at 0.

    Attributes:
        longest: positions that the encoding has, 0 to ``longest - 1``; None where it has all.
        has_bias: whether :meth:`bias` says anything. Attention without a bias runs the fused kernel.
        has_logits: whether :meth:`logits` takes the place of the inner products.
        recodes: whether what :meth:`rotate` makes of a key changes as the sequence grows. A cache then
            holds keys as they were before it, and all of them are encoded anew with every new token.
        span: tokens that may be encoded together; None for any number. Past it attention runs in blocks
            of queries, each with its keys encoded anew. Needs ``recodes``.
        compiles: whether :meth:`bias` can be compiled into a kernel: arithmetic, and lookups by index, of
            single numbers. Otherwise attention with a bias runs in blocks of queries on a GPU too.
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
        """Return the names of the hooks that the class does not leave as they are here."""
        return {hook for hook in _HOOKS if getattr(cls, hook) is not getattr(Encoding, hook)}

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Fill the encoding's own parameters; ``generator(name)`` depends on the seed and the name alone."""

    def embed(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        """Return the token embeddings ``[batch, tokens, width]`` with positions put in."""
        return embeddings

    def prepare(self, positions: Tensor) -> Any:
        """Return what :meth:`rotate` needs of the positions of the keys: computed once, for all layers."""
        return None

    def rotate(self, queries: Tensor, keys: Tensor, prepared: Any, hidden: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return queries and keys with positions put in.

        The queries stand at the last of the keys' positions. There are fewer of them only where
        ``recodes`` is set: keys of a cache then come again with each new query.

        Args:
            queries: ``[batch, heads, queries, head_dim]``.
            keys: ``[batch, kv_heads, keys, head_dim]``.
            prepared: what :meth:`prepare` returned for the positions of the keys.
            hidden: the layer's normalised input at the queries, ``[batch, queries, width]``, for
                encodings that look at content.
            layer: index of the layer, from 0.

        Returns:
            Queries and keys; their last dimension may differ from ``head_dim``, and is the same in both.
        """
        return queries, keys

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return what is added to the attention logits, in float32.

        Computed one by one: the three arguments broadcast, and so does the result. On a CPU they are
        ``[heads, 1, 1]``, ``[queries, 1]`` and ``[keys]``; a GPU kernel passes single numbers. What is
        returned where the key comes after the query is not used, but must be finite, with finite gradients.

        Args:
            heads: indices of query heads, int64.
            queries: positions of queries, int64.
            keys: positions of keys, int64.
            layer: index of the layer, from 0.
        """
        raise NotImplementedError

    def logits(self, queries: Tensor, keys: Tensor, positions: Tensor, layer: int) -> Tensor:
        """Return what takes the place of the inner products, unscaled, ``[batch, heads, queries, keys]``.

        Called for a block of queries at a time, with the keys up to the last of them.

        Args:
            queries: after :meth:`rotate`, ``[batch, heads, queries, dim]``; they stand at the last of the positions.
            keys: after :meth:`rotate`, one for every query head, ``[batch, heads, keys, dim]``.
            positions: of the keys, int64 ``[keys]``.
            layer: index of the layer, from 0.
        """
        raise NotImplementedError

    def phasors(self, distance: NDArray[np.int64]) -> NDArray[np.complex128] | None:
        """Return what distance makes of each component of a logit, ``[distances, components]``, for theory and figures.

        A component that is 1 at distance 0 is the real part of this at distance D. None where a logit is no sum of
        such components, or where more than the distance counts.
        """
        return None
