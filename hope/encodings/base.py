"""What a positional encoding is: three hooks, all optional."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class EncodingShape:
    """The sizes that an encoding may depend on.

    Attributes:
        layers: decoder layers.
        width: size of the residual stream.
        heads: query heads.
        kv_heads: key and value heads.
        head_dim: width of one head.
        length: the training length L, in tokens.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    length: int


class Encoding(nn.Module):
    """A positional encoding. Every hook may be left as it is here, which does nothing.

    One instance serves all layers of a model; parameters that differ by layer are indexed by it.
    Positions are int64, one row for the whole batch, ``[tokens]``; nothing says that they begin at 0.

    Attributes:
        longest: positions that the encoding has, 0 to ``longest - 1``; None where it has all.
        has_bias: whether :meth:`bias` returns a bias. Attention without one runs the fused kernel.
    """

    longest: int | None = None
    has_bias: bool = False

    def __init__(self, shape: EncodingShape) -> None:
        """Keep ``shape``; a subclass takes its settings as further keyword arguments."""
        super().__init__()
        self.shape = shape

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Fill the encoding's own parameters; ``generator(name)`` depends on the seed and the name alone."""

    def embed(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        """Return the token embeddings ``[batch, tokens, width]`` with positions put in."""
        return embeddings

    def prepare(self, positions: Tensor) -> Any:
        """Return what :meth:`rotate` needs of ``positions``: computed once, handed to every layer."""
        return None

    def rotate(self, queries: Tensor, keys: Tensor, prepared: Any, hidden: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return queries and keys with positions put in.

        Args:
            queries: ``[batch, heads, tokens, head_dim]``.
            keys: ``[batch, kv_heads, tokens, head_dim]``.
            prepared: what :meth:`prepare` returned.
            hidden: the layer's normalised input ``[batch, tokens, width]``, for encodings that look at content.
            layer: index of the layer, from 0.

        Returns:
            Queries and keys; their last dimension may differ from ``head_dim``, and is the same in both.
        """
        return queries, keys

    def bias(self, query_positions: Tensor, key_positions: Tensor, layer: int) -> Tensor | None:
        """Return what is added to the attention logits, ``[heads, queries, keys]`` in float32, or None.

        Entries whose key comes after the query are not read.
        """
        return None
