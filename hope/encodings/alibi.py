"""ALiBi: a penalty linear in distance (Press et al. 2022, arXiv 2108.12409)."""

import math

import torch
from torch import Tensor

from hope.encodings.base import Encoding


def alibi_slopes(heads: Tensor, number: int) -> Tensor:
    """Return the slope of each of the ``heads``, float32: ``2^(-8h/number)`` for h = 1 .. number.

    Where ``number`` is no power of 2, the slopes of the power below it come first, then every second
    slope of the power above it, as in the authors' code.

    Args:
        heads: indices from 0, int64, of any shape.
        number: heads in all.
    """
    below = 2 ** math.floor(math.log2(number))
    own, between = (heads + 1) * (8 / below), (2 * (heads - below) + 1) * (4 / below)
    return torch.exp2(-torch.where(heads < below, own, between).float())


class Alibi(Encoding):
    """ALiBi: head h adds ``-slope_h * (i - j)`` to the logit of query i and key j."""

    has_bias = True

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the penalty; the distances are exact integers up to 2^24."""
        return -alibi_slopes(heads, self.shape.heads) * (queries - keys).float()
