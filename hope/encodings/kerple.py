"""KERPLE: kernelised relative positions, logarithmic and power (Chi et al. 2022, arXiv 2205.09921).

As in the authors' code, each head has two numbers that all layers share. They are clamped where they are used, but
their gradient passes as if they were not, so that a number can return to its range.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hope.encodings.base import Encoding, EncodingShape

LEAST = 0.01
"""Smallest value of either number, in the authors' code."""
LARGEST_POWER = 2.0
"""Above it the power kernel is no longer conditionally positive definite (section 4)."""


class Kerple(Encoding):
    """Both kernels: positive numbers p and a per head."""

    has_bias = True

    def __init__(self, shape: EncodingShape) -> None:
        """Make p and a ``[heads]``."""
        super().__init__(shape)
        self.p = nn.Parameter(torch.ones(shape.heads))
        self.a = nn.Parameter(torch.ones(shape.heads))

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Draw p uniformly from 0 to 2 and a from 0 to 1."""
        with torch.no_grad():
            self.p.uniform_(0.0, 2.0, generator=generator("p"))
            self.a.uniform_(0.0, 1.0, generator=generator("a"))


class KerpleLog(Kerple):
    """The logarithmic kernel: head h adds ``-p_h log(1 + a_h (i - j))``."""

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the logarithmic penalty."""
        distance = (queries - keys).clamp(min=0).float()
        p, a = bounded(self.p[heads], LEAST), bounded(self.a[heads], LEAST)
        return -p * torch.log1p(a * distance)


class KerplePower(Kerple):
    """The power kernel: head h adds ``-a_h (i - j)^p_h``, p up to 2."""

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the power penalty; 0 at distance 0, whose logarithm is not finite."""
        distance = (queries - keys).clamp(min=0).float()
        p, a = bounded(self.p[heads], LEAST, LARGEST_POWER), bounded(self.a[heads], LEAST)
        return -a * distance.clamp(max=1.0) * torch.exp(p * torch.log(distance.clamp(min=1.0)))


def bounded(numbers: Tensor, low: float, high: float | None = None) -> Tensor:
    """Return ``numbers`` clamped to ``low`` and ``high``, with the gradient of the unclamped numbers.

    In float32 at least, since half precision would round the bound.
    """
    numbers = numbers.to(torch.promote_types(numbers.dtype, torch.float32))
    return numbers.clamp(low, high).detach() + (numbers - numbers.detach())
