"""A user's own positional encoding in one file: a penalty on distance whose slope is learned.

The nearest ``free`` tokens have no penalty. Beyond them the logit of head h in layer l falls by ``slope_lh``
per token, as in ALiBi (Press et al. 2022, arXiv 2108.12409), but each slope is a parameter.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hope.encodings.base import Encoding, EncodingShape
from hope.errors import UserError


class MyEncoding(Encoding):
    """Adds ``-slope_lh * max(0, i - j - free)`` to the logit of query i and key j."""

    has_bias = True  # bias() is called
    shift_invariant = True  # depends on i - j alone; the contract checks this

    def __init__(self, shape: EncodingShape, free: int = 8) -> None:
        """Make the slopes; ``free`` is a setting in the config."""
        super().__init__(shape)
        if not isinstance(free, int) or free < 0:
            raise UserError(f"free must be a whole number of tokens from 0 on, not {free!r}")
        self.free = free
        # Logarithms, so that a slope stays above 0 after any training step.
        self.log_slopes = nn.Parameter(torch.zeros(shape.layers, shape.heads))

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Draw the slopes from ALiBi's range, 2^-8 to 1."""
        with torch.no_grad():
            self.log_slopes.uniform_(-8 * math.log(2), 0.0, generator=generator("log_slopes"))

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the penalty; 0 where the key comes after the query, where it is not used."""
        slopes = self.log_slopes[layer].float().exp()[heads]
        return -slopes * (queries - keys - self.free).clamp(min=0).float()
