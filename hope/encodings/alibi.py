"""ALiBi: a penalty linear in distance (Press et al. 2022, arXiv 2108.12409)."""

import math

import torch
from torch import Tensor

from hope.encodings.base import Encoding, EncodingShape


def alibi_slopes(heads: int) -> Tensor:
    """Return the slope of each head, float32 ``[heads]``: ``2^(-8h/heads)`` for h = 1 .. heads.

    Where ``heads`` is no power of 2, the slopes of the power below it come first, then every second
    slope of the power above it, as in the authors' code.
    """
    below = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * h / below) for h in range(1, below + 1)]
    between = [2 ** (-8 * h / (2 * below)) for h in range(1, 2 * below + 1, 2)]
    return torch.tensor(slopes + between[: heads - below], device="cpu")


class Alibi(Encoding):
    """ALiBi: head h adds ``-slope_h * (i - j)`` to the logit of query i and key j."""

    has_bias = True

    def __init__(self, shape: EncodingShape) -> None:
        """Compute the slopes of the heads."""
        super().__init__(shape)
        self.slopes = alibi_slopes(shape.heads)

    def bias(self, query_positions: Tensor, key_positions: Tensor, layer: int) -> Tensor:
        """Return the penalty ``[heads, queries, keys]``; the distances are exact integers."""
        distance = (query_positions[:, None] - key_positions[None, :]).float()
        return -self.slopes.to(distance.device)[:, None, None] * distance
