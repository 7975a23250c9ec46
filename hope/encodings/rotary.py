"""Rotary encodings: RoPE (Su et al. 2021, arXiv 2104.09864) and HoPE (Chen et al. 2025, arXiv 2410.21216).

Component j of a head is the pair of dimensions (j, j + d/2). At position m it turns by the angle
``m * theta_j``, so a logit depends on positions through their difference alone.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from hope.encodings.base import Encoding, EncodingShape
from hope.errors import UserError


def rope_frequencies(head_dim: int, base: float) -> Tensor:
    """Return ``theta_j = base^(-2j/d)`` for j = 0 .. d/2 - 1, in radians a token, float64 ``[d/2]``.

    Source: Su et al. 2021, equation 15.

    Raises:
        UserError: ``head_dim`` is odd, or ``base`` is not above 0.
    """
    if head_dim % 2:
        raise UserError(f"head dimension {head_dim} is odd: rotary components are pairs of dimensions")
    if not base > 0:
        raise UserError(f"base {base} is not above 0")
    # The device is named so that a model made on the meta device has its frequencies all the same.
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64, device="cpu") / head_dim
    return base**-exponents


def hope_frequencies(head_dim: int, base: float, length: int, cutoff: float = 1.0) -> Tensor:
    """Return RoPE's frequencies with the slow ones set to 0, float64 ``[d/2]``.

    A component stays when it completes ``cutoff`` turns within the training length:
    ``theta_j >= 2 pi * cutoff / length``. The others have angle 0 at every position. Source: Chen et al.
    2025. With ``cutoff`` 0 this is RoPE.
    """
    frequencies = rope_frequencies(head_dim, base)
    return torch.where(frequencies >= 2 * math.pi * cutoff / length, frequencies, 0.0)


class Rotary(Encoding):
    """A rotation of queries and keys by angles linear in position.

    Attributes:
        frequencies: ``theta_j`` in radians a token, float64 ``[d/2]``; 0 is a component without position.
    """

    def __init__(self, shape: EncodingShape, frequencies: Tensor) -> None:
        """Keep the frequencies of the components."""
        super().__init__(shape)
        self.frequencies = frequencies

    def prepare(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine ``[tokens, d/2]`` in float32; the angles are computed in float64.

        At position 1,000,000 an angle in float32 would be off by hundredths of a radian.
        """
        angles = positions.to(torch.float64)[:, None] * self.frequencies.to(positions.device)
        return angles.cos().float(), angles.sin().float()

    def rotate(
        self, queries: Tensor, keys: Tensor, prepared: tuple[Tensor, Tensor], hidden: Tensor, layer: int
    ) -> tuple[Tensor, Tensor]:
        """Turn every component by its angle."""
        return _turn(queries, *prepared), _turn(keys, *prepared)

    @contextmanager
    def replaced(self, frequencies: Tensor) -> Iterator[None]:
        """Use other frequencies within the block: the intervention of the attention analysis."""
        before = self.frequencies
        self.frequencies = frequencies.to(torch.float64)
        try:
            yield
        finally:
            self.frequencies = before


def _turn(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn ``heads`` ``[batch, heads, tokens, d]`` by the angles of ``cosine`` and ``sine`` ``[tokens, d/2]``."""
    first, second = heads.chunk(2, dim=-1)
    turned = torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
    return turned.to(heads.dtype)


class Rope(Rotary):
    """RoPE: every component turns."""

    def __init__(self, shape: EncodingShape, base: float = 10_000.0) -> None:
        """Make RoPE of the given base."""
        super().__init__(shape, rope_frequencies(shape.head_dim, base))


class Hope(Rotary):
    """HoPE: components too slow to turn within the training length stand still."""

    def __init__(self, shape: EncodingShape, base: float = 10_000.0, cutoff: float = 1.0) -> None:
        """Make HoPE of the given base, keeping components of ``cutoff`` turns within the training length."""
        super().__init__(shape, hope_frequencies(shape.head_dim, base, shape.length, cutoff))
