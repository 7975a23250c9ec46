"""T5's relative position bias (Raffel et al. 2020, arXiv 1910.10683, section 2.1)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hope.encodings.base import Encoding, EncodingShape

BUCKETS = 32


def t5_bucket(distance: Tensor, buckets: int, longest: int) -> Tensor:
    """Return the bucket of each distance ``i - j``, int64, as in T5's decoder.

    Half of the buckets hold one distance each, the others ever wider ranges up to ``longest``; the last also holds
    all larger distances. Negative distances, which a decoder does not use, count as 0.

    Args:
        distance: int64, of any shape.
        buckets: number of buckets.
        longest: distance from which on all share the last bucket.
    """
    distance = distance.clamp(min=0)
    exact = buckets // 2
    growth = (buckets - exact) / math.log(longest / exact)
    far = exact + (torch.log(distance.clamp(min=exact).float() / exact) * growth).long()
    return torch.where(distance < exact, distance, far.clamp(max=buckets - 1))


class T5(Encoding):
    """A learned number per head and bucket of distances, added to the logit.

    All layers share one table, as in T5. T5 does not scale its logits; here they are scaled as for all encodings.
    """

    has_bias = True

    def __init__(self, shape: EncodingShape, max_distance: int) -> None:
        """Make the table ``[heads, 32]``."""
        super().__init__(shape)
        self.max_distance = max_distance
        self.table = nn.Parameter(torch.zeros(shape.heads, BUCKETS))

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Draw the table with standard deviation ``width^(-1/2)``, as T5 in transformers does."""
        with torch.no_grad():
            self.table.normal_(0.0, self.shape.width**-0.5, generator=generator("table"))

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the number of the head and of the distance's bucket."""
        return self.table[heads, t5_bucket(queries - keys, BUCKETS, self.max_distance)].float()
