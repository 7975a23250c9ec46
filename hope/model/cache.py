"""Keys and values of the tokens that a decoder has read."""

from typing import Protocol

import torch
from torch import Tensor


class Cache(Protocol):
    """What a decoder asks of a cache; those of transformers answer it too."""

    def get_seq_length(self) -> int:
        """Return how many tokens it holds."""

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Take in a layer's new keys and values; return all, ``[batch, kv_heads, tokens, dim]``."""


class GrowingCache:
    """A cache that grows by concatenation."""

    def __init__(self) -> None:
        """Make an empty cache."""
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def get_seq_length(self) -> int:
        """Return how many tokens the first layer holds."""
        return self.layers[0][0].shape[2] if self.layers else 0

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Take in a layer's new keys and values; return all of its own."""
        if layer in self.layers:
            before = self.layers[layer]
            keys, values = torch.cat((before[0], keys), dim=2), torch.cat((before[1], values), dim=2)
        self.layers[layer] = keys, values
        return keys, values
