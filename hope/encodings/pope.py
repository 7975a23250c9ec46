"""PoPE: polar coordinates, content in the magnitude and position in the phase (Gopalakrishnan et al. 2025)."""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hope.encodings.base import Encoding, EncodingShape


class Pope(Encoding):
    """PoPE: the logit is ``sum_c softplus(q_c) softplus(k_c) cos((m - n) theta_c - delta_c)``.

    Query at m, key at n, c = 0 .. d - 1, ``theta_c = base^(-c/d)`` (arXiv 2509.10534, section 3). Each of the d
    dimensions is a magnitude of its own, so queries and keys become 2d wide; the scale stays ``1/sqrt(d)``. ``delta``
    is added to the phase of the keys, learned per layer, key head and dimension, and held within [-2 pi, 0].
    """

    def __init__(self, shape: EncodingShape, base: float, delta: Literal["zero", "uniform"]) -> None:
        """Make PoPE with the given base; the phases begin at 0 or at random."""
        super().__init__(shape)
        self.begins = delta
        exponents = torch.arange(shape.head_dim, dtype=torch.float64, device="cpu") / shape.head_dim
        self.theta = base**-exponents
        self.delta = nn.Parameter(torch.zeros(shape.layers, shape.kv_heads, shape.head_dim))

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Set or draw the phases."""
        with torch.no_grad():
            if self.begins == "uniform":
                self.delta.uniform_(-2 * math.pi, 0.0, generator=generator("delta"))
            else:
                self.delta.zero_()

    def prepare(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine ``[tokens, d]`` in float32; the angles are computed in float64."""
        angles = positions.to(torch.float64)[:, None] * self.theta.to(positions.device)
        return angles.cos().float(), angles.sin().float()

    def phasors(self, distance: NDArray[np.int64]) -> NDArray[np.complex128]:
        """Return ``exp(i D theta_c)``, c = 0 .. d - 1, for phases of 0."""
        return np.exp(1j * distance[:, None] * self.theta.numpy())

    def rotate(
        self, queries: Tensor, keys: Tensor, prepared: tuple[Tensor, Tensor], hidden: Tensor, layer: int
    ) -> tuple[Tensor, Tensor]:
        """Return queries and keys 2d wide: magnitudes times the cosine, then the sine, of their phases."""
        cosine, sine = prepared
        delta = held(self.delta[layer].float())[:, None]
        # By the angle sum formulas: added to a large angle in float32, a phase would be rounded away.
        key_cosine = cosine * delta.cos() - sine * delta.sin()
        key_sine = sine * delta.cos() + cosine * delta.sin()
        return _polar(queries, cosine, sine), _polar(keys, key_cosine, key_sine)


def _polar(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    magnitudes = F.softplus(heads.float())
    return torch.cat((magnitudes * cosine, magnitudes * sine), dim=-1).to(heads.dtype)


def held(delta: Tensor) -> Tensor:
    """Return ``delta`` clamped to [-2 pi, 0]; its gradient is 0 only where a descent step would lead further out.

    With a plain clamp the first step could leave the range at 0, where delta begins, and no gradient would lead back.
    """
    return _Held.apply(delta)


class _Held(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, delta: Tensor) -> Tensor:
        context.save_for_backward(delta)
        return delta.clamp(-2 * math.pi, 0.0)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (delta,), (gradient,) = context.saved_tensors, gradients
        outward = ((delta >= 0) & (gradient < 0)) | ((delta <= -2 * math.pi) & (gradient > 0))
        return gradient.masked_fill(outward, 0.0)
