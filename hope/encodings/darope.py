"""DaRoPE: slow components turn by a position that depends on content (DaRoPE 2026, equations 4 to 6)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hope.catalogue.spectra import TURN
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.rotary import rope_frequencies, turn

EPSILON = 1e-6


class Darope(Encoding):
    """DaRoPE: components that HoPE keeps turn by the position m as in RoPE, the others by a clock c.

    ``c = L sigmoid(w_h . x + alpha_h logit((m + 0.5) / L))``, where x is the layer's normalised input at the
    token and the logit's argument is clamped to [1e-6, 1 - 1e-6]. With w = 0 and alpha = 0 this is HoPE;
    with w = 0 and alpha = 1 it is RoPE within the training length, and the clock of all later tokens is L.

    Every layer and key head has its own w and alpha. With grouped heads the queries of a group use those
    of their key head, so that a logit depends on the difference of two values of one clock.
    """

    def __init__(self, shape: EncodingShape, base: float, w_std: float, alpha: float) -> None:
        """Make DaRoPE with the given base and initial ``alpha``; w is drawn with standard deviation ``w_std``."""
        super().__init__(shape)
        frequencies = rope_frequencies(shape.head_dim, base)
        slow = frequencies < TURN / shape.length
        self.fast, self.slow = frequencies[~slow], frequencies[slow]
        self.w_std, self.start = w_std, alpha
        self.w = nn.Parameter(torch.zeros(shape.layers, shape.kv_heads, shape.width))
        self.alpha = nn.Parameter(torch.full((shape.layers, shape.kv_heads), float(alpha)))

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Draw w and set alpha."""
        with torch.no_grad():
            self.w.normal_(0.0, self.w_std, generator=generator("w"))
            self.alpha.fill_(self.start)

    def prepare(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the fast components' cosine and sine ``[tokens, K]`` and the logit of the position ``[tokens]``."""
        exact = positions.to(torch.float64)
        angles = exact[:, None] * self.fast.to(positions.device)
        position = torch.logit((exact + 0.5) / self.shape.length, eps=EPSILON)
        return angles.cos().float(), angles.sin().float(), position.float()

    def rotate(
        self, queries: Tensor, keys: Tensor, prepared: tuple[Tensor, Tensor, Tensor], hidden: Tensor, layer: int
    ) -> tuple[Tensor, Tensor]:
        """Turn the fast components by the position and the slow ones by the clock."""
        cosine, sine, position = prepared
        clock = self.clock(hidden, position, layer)
        angles = clock[..., None] * self.slow.to(clock)
        cosine, sine = (
            torch.cat((table.expand(*angles.shape[:3], -1), own), dim=-1)
            for table, own in ((cosine, angles.cos()), (sine, angles.sin()))
        )
        group = queries.shape[1] // keys.shape[1]
        return (
            turn(queries, cosine.repeat_interleave(group, dim=1), sine.repeat_interleave(group, dim=1)),
            turn(keys, cosine, sine),
        )

    def clock(self, hidden: Tensor, position: Tensor, layer: int) -> Tensor:
        """Return c, in tokens from 0 to L, float32 ``[batch, kv_heads, tokens]``.

        Args:
            hidden: the layer's normalised input, ``[batch, tokens, width]``.
            position: the logit of ``(m + 0.5) / L``, ``[tokens]``.
            layer: index of the layer.
        """
        content = self.w[layer].float() @ hidden.float().transpose(1, 2)
        return self.shape.length * torch.sigmoid(content + self.alpha[layer].float()[:, None] * position)
