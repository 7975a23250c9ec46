"""Sinusoidal absolute positions (Vaswani et al. 2017, arXiv 1706.03762, section 3.5)."""

import torch
from torch import Tensor

from hope.encodings.base import Encoding, EncodingShape


def sinusoids(positions: Tensor, width: int, base: float) -> Tensor:
    """Return ``sin`` and ``cos`` of ``m * base^(-2i/width)`` in columns 2i and 2i + 1, float32 ``[tokens, width]``.

    The angles are computed in float64: at position 1,000,000 float32 would be off by hundredths of a radian.

    Args:
        positions: m, int64 ``[tokens]``.
        width: of the residual stream.
        base: of the wavelengths, which rise from 2 pi to ``2 pi * base``.
    """
    exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
    angles = positions.to(torch.float64)[:, None] * base**-exponents
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :width].float()


class Sinusoidal(Encoding):
    """Sines and cosines of the position, added to the token embedding scaled by ``sqrt(width)``.

    The scale is the paper's (section 3.4): unscaled, the initial embeddings would be small beside waves of amplitude 1.
    """

    def __init__(self, shape: EncodingShape, base: float) -> None:
        """Make the encoding with the given base."""
        super().__init__(shape)
        self.base = base

    def embed(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        """Scale the embeddings and add the row of each position."""
        table = sinusoids(positions, self.shape.width, self.base).to(embeddings.dtype)
        return embeddings * self.shape.width**0.5 + table
