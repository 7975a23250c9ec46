"""Encodings that rotate queries and keys by angles linear in position.

Component j of a head is the pair of dimensions (j, j + d/2). At position m it turns by the angle
``m * theta_j``, so a logit depends on positions through their difference alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from hope.catalogue.spectra import Spectrum, geometric
from hope.encodings.base import Encoding, EncodingShape


def rope_frequencies(head_dim: int, base: float) -> Tensor:
    """Return ``theta_j = base^(-2j/d)`` for j = 0 .. d/2 - 1, in radians per token, float64 ``[d/2]``.

    Raises:
        UserError: ``head_dim`` is odd, or ``base`` is not above 0.
    """
    return _on_cpu(geometric(head_dim, base))


def _on_cpu(frequencies: tuple[float, ...]) -> Tensor:
    # With an explicit device, so that a model on the meta device has its frequencies too.
    return torch.tensor(frequencies, dtype=torch.float64, device="cpu")


class Rotary(Encoding):
    """A rotation of queries and keys by angles linear in position.

    Attributes:
        frequencies: ``theta_j`` in radians per token, float64 ``[d/2]``; 0 for a frozen component.
        slowest: index of the slowest component of the whole spectrum, before any was frozen.
        name: its name in errors.
    """

    def __init__(
        self, shape: EncodingShape, frequencies: Tensor, slowest: int | None = None, name: str | None = None
    ) -> None:
        """Keep the frequencies of the components; ``slowest`` is the last one by default."""
        super().__init__(shape)
        self.frequencies = frequencies
        self.slowest = len(frequencies) - 1 if slowest is None else slowest
        self.name = name or type(self).__name__

    @classmethod
    def of(cls, spectrum: Spectrum, shape: EncodingShape, name: str | None = None) -> Self:
        """Return the rotation by the frequencies of a spectrum."""
        return cls(shape, _on_cpu(spectrum.frequencies), spectrum.slowest, name)

    def prepare(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine ``[tokens, d/2]`` in float32 of angles in float64.

        At position 1,000,000 an angle in float32 would be off by hundredths of a radian.
        """
        angles = positions.to(torch.float64)[:, None] * self.frequencies.to(positions.device)
        return angles.cos().float(), angles.sin().float()

    def rotate(
        self, queries: Tensor, keys: Tensor, prepared: tuple[Tensor, Tensor], hidden: Tensor, layer: int
    ) -> tuple[Tensor, Tensor]:
        """Turn every component by its angle; queries stand at the last of the positions."""
        return turn_both(queries, keys, prepared)

    def phasors(self, distance: NDArray[np.int64]) -> NDArray[np.complex128]:
        """Return ``exp(i D theta_j)``."""
        return np.exp(1j * distance[:, None] * self.frequencies.numpy())

    @contextmanager
    def replaced(self, frequencies: Tensor) -> Iterator[None]:
        """Use other frequencies within the block: the intervention of the attention analysis."""
        before = self.frequencies
        self.frequencies = frequencies.to(torch.float64)
        try:
            yield
        finally:
            self.frequencies = before


def turn_both(queries: Tensor, keys: Tensor, prepared: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Turn keys by cosine and sine ``[tokens, d/2]``, and queries by the last of these."""
    cosine, sine = prepared
    first = keys.shape[2] - queries.shape[2]
    return turn(queries, cosine[first:], sine[first:]), turn(keys, cosine, sine)


def turn(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn ``heads`` ``[batch, heads, tokens, d]`` by the angles of ``cosine`` and ``sine`` ``[tokens, d/2]``."""
    if _by_hand(heads, cosine):
        return _Turn.apply(heads, torch.cat((cosine, cosine), dim=-1), torch.cat((-sine, sine), dim=-1))
    first, second = heads.chunk(2, dim=-1)
    turned = torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
    return turned.to(heads.dtype)


def _by_hand(heads: Tensor, cosine: Tensor) -> bool:
    """Return whether to use :class:`_Turn`: on a CPU, where each step of autograd's is a pass over memory."""
    plain = heads.device.type == "cpu" and heads.dtype == cosine.dtype and not cosine.requires_grad
    return plain and not torch.compiler.is_compiling()


class _Turn(Function):
    """The turn with its own backward pass: a turn by the opposite angles."""

    @staticmethod
    def forward(ctx: Any, heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return heads.roll(heads.shape[-1] // 2, dims=-1).mul_(sine).addcmul_(heads, cosine)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        swapped = (gradient * sine).roll(gradient.shape[-1] // 2, dims=-1)
        return swapped.addcmul_(gradient, cosine), None, None
