"""Learned absolute positions (Vaswani et al. 2017, arXiv 1706.03762, section 3.5)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hope.encodings.base import Encoding, EncodingShape
from hope.errors import UserError


class Learned(Encoding):
    """A trained vector for each of the L positions of training, added to the token embedding."""

    def __init__(self, shape: EncodingShape) -> None:
        """Make the table ``[length, width]``."""
        super().__init__(shape)
        self.longest = shape.length
        self.table = nn.Parameter(torch.zeros(shape.length, shape.width))

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Draw the table like the token embeddings."""
        with torch.no_grad():
            self.table.normal_(0.0, (2 / (5 * self.shape.width)) ** 0.5, generator=generator("table"))

    def embed(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        """Add the row of each position.

        Raises:
            UserError: a position lies outside the table; it never wraps.
        """
        last = self.table.shape[0] - 1
        for position in positions.aminmax() if positions.numel() else ():
            if not 0 <= int(position) <= last:
                raise UserError(
                    f"learned positions end at {last}, the training length; position {int(position)} has none"
                )
        return embeddings + self.table[positions].to(embeddings.dtype)
