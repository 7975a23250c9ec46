"""xPos: RoPE whose components also decay with distance (Sun et al. 2022, arXiv 2212.10554)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hope.catalogue.families.xpos import XposSettings, span
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.rotary import rope_frequencies, turn
from hope.errors import UserError

GAMMA = 0.4
SCALES_IN_HALF = 8
"""The same in float16, whose largest number is 65,504: factors are at most (0.4/1.4)^-4, or 150."""


class Xpos(Encoding):
    """xPos: component j of a logit is multiplied by ``zeta_j^((m - n) / scale_base)``, query at m, key at n.

    ``zeta_j = (2j + 0.4 d) / (1.4 d)`` for j = 0 .. d/2 - 1 (section 3.2, gamma = 0.4), below 1: fast
    components decay fastest. Queries are multiplied by ``zeta^(m / scale_base)`` and keys by the inverse, which
    overflows at long lengths. Only the difference matters, so positions are counted from a reference near the last
    one: a key far before it fades to 0, as its logit does. The reference moves with the sequence, so cached keys are
    encoded again, and only queries within 32 scale bases of each other are encoded together.
    """

    recodes = True

    def __init__(self, shape: EncodingShape, base: float, scale_base: float) -> None:
        """Make xPos with RoPE's ``base``, decaying by zeta over ``scale_base`` tokens."""
        super().__init__(shape)
        self.theta = rope_frequencies(shape.head_dim, base)
        self.scale_base = scale_base
        self.together = self.span = span(XposSettings(base=base, scale_base=scale_base))
        d = shape.head_dim
        first = torch.arange(0, d, 2, dtype=torch.float64, device="cpu")
        self.zeta = (first + GAMMA * d) / ((1 + GAMMA) * d)

    def prepare(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return scaled cosines and sines in float32: for queries ``[up to span, d/2]``, for keys ``[tokens, d/2]``.

        Queries stand at the last positions.
        """
        positions = positions.to(torch.float64)
        angles = positions[:, None] * self.theta.to(positions.device)
        cosine, sine = angles.cos(), angles.sin()
        near = positions[-self.together :]
        # In the middle of the queries, which keeps the largest factor smallest.
        reference = positions[-1:] - len(near) / 2
        zeta = self.zeta.to(positions.device)
        ahead = (near - reference).clamp(min=-self.together)  # clamps only where positions have gaps
        grow = zeta ** (ahead / self.scale_base)[:, None]
        fade = zeta ** ((reference - positions) / self.scale_base)[:, None]
        tables = cosine[-self.together :] * grow, sine[-self.together :] * grow, cosine * fade, sine * fade
        return tuple(table.float() for table in tables)  # type: ignore[return-value]

    def phasors(self, distance: NDArray[np.int64]) -> NDArray[np.complex128]:
        """Return ``zeta_j^(D / scale_base) exp(i D theta_j)``."""
        fading = self.zeta.numpy() ** (distance[:, None] / self.scale_base)
        return fading * np.exp(1j * distance[:, None] * self.theta.numpy())

    def rotate(
        self,
        queries: Tensor,
        keys: Tensor,
        prepared: tuple[Tensor, Tensor, Tensor, Tensor],
        hidden: Tensor,
        layer: int,
    ) -> tuple[Tensor, Tensor]:
        """Turn and scale every component.

        Raises:
            UserError: the factors could overflow in float16.
        """
        cosine, sine, key_cosine, key_sine = prepared
        most = int(SCALES_IN_HALF * self.scale_base)
        if queries.dtype == torch.float16 and len(cosine) > most:
            raise UserError(f"xPos reads up to {most:,} tokens in float16; load the model in bfloat16 or float32")
        first = len(cosine) - queries.shape[2]
        return turn(queries, cosine[first:], sine[first:]), turn(keys, key_cosine, key_sine)
