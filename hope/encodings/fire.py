"""FIRE: a learned function of the distance relative to the position (Li et al. 2024, arXiv 2310.04418)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hope.encodings.base import Encoding, EncodingShape

WIDTH = 32
EPSILON = 1e-6
C = 0.1
LARGEST_THRESHOLD = 512.0


class Fire(Encoding):
    """FIRE: adds ``MLP(log(1 + c (i - j)) / (log(1 + c max(i, threshold)) + 1e-6))`` to the logit.

    The MLP has one hidden layer of 32 units with ReLU, as in the code in the paper, and one output per head; c is
    learned, and so is the threshold, by a factor that begins at 1. Every layer has its own MLP, c and factor. The
    MLP's input lies between 0 and 1 at any length, and depends on i, not on i - j alone.

    The output has no bias: a constant added to all logits of a query changes nothing.
    """

    has_bias = True
    compiles = False

    def __init__(self, shape: EncodingShape, threshold: float | None = None) -> None:
        """Make an MLP, c and a factor of the threshold for each layer.

        Args:
            shape: the sizes.
            threshold: the initial threshold; None is ``min(512, L / 4)``. With the paper's 512 the denominator would be
                constant in training up to that length.
        """
        super().__init__(shape)
        self.threshold = min(LARGEST_THRESHOLD, shape.length / 4) if threshold is None else float(threshold)
        self.c = nn.Parameter(torch.full((shape.layers,), C))
        self.factor = nn.Parameter(torch.ones(shape.layers))
        self.hidden_weight = nn.Parameter(torch.zeros(shape.layers, WIDTH))
        self.hidden_bias = nn.Parameter(torch.zeros(shape.layers, WIDTH))
        self.output = nn.Parameter(torch.zeros(shape.layers, shape.heads, WIDTH))

    def initialise(self, generator: Callable[[str], torch.Generator]) -> None:
        """Draw the MLP like PyTorch's linear layers: uniform, up to ``inputs^(-1/2)``."""
        with torch.no_grad():
            self.c.fill_(C)
            self.factor.fill_(1.0)
            self.hidden_weight.uniform_(-1.0, 1.0, generator=generator("hidden_weight"))
            self.hidden_bias.uniform_(-1.0, 1.0, generator=generator("hidden_bias"))
            self.output.uniform_(-(WIDTH**-0.5), WIDTH**-0.5, generator=generator("output"))

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the MLP's output; heads vary along dimensions of their own."""
        ratio = self.ratio(queries, keys, layer)
        weight, bias, output = (one[layer].float() for one in (self.hidden_weight, self.hidden_bias, self.output))
        hidden = torch.addmm(bias, ratio.reshape(-1, 1), weight[None]).relu()
        by_head = output[heads.reshape(-1)] @ hidden.T
        return by_head.view(torch.broadcast_shapes(heads.shape, ratio.shape))

    def ratio(self, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the MLP's input: 0 at the query, up to 1 at the start of the text."""
        c, threshold = self.c[layer].abs(), (self.threshold * self.factor[layer]).abs()
        distance = (queries - keys).clamp(min=0).float()
        reach = torch.maximum(queries.float(), threshold.float())
        return torch.log1p(c * distance) / (torch.log1p(c * reach) + EPSILON)
