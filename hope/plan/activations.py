"""Activations of one process in bytes: kept by the forward pass for the backward pass, and working memory of both.

Counted from the decoder's own operators (:mod:`hope.model.decoder`, :mod:`hope.model.loss`); tests/plan compares
the counts with autograd. They hold for an encoding that rotates; one that adds a bias to the logits, or computes its
own logits, queries or keys, needs more.
"""

from dataclasses import dataclass
from typing import Literal

from hope.config import Model
from hope.plan.sizes import attention_widths

Kind = Literal["cpu", "gpu"]

CHUNK_LOGITS = {"cpu": 2**20, "gpu": 2**26}
"""Logits per chunk of the loss, at most (:mod:`hope.model.loss`)."""
FEWEST_ROWS = {"cpu": 256, "gpu": 1}
"""Rows of logits per chunk of the loss, at least."""


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass of a process.

    Attributes:
        shape: the decoder's sizes.
        vocabulary: number of token ids.
        windows: windows in the pass.
        length: tokens per window.
        number: bytes per number: 4 in float32, 2 in bfloat16.
        kind: the device.
        recompute: whether the backward pass computes each layer's activations again.
    """

    shape: Model
    vocabulary: int
    windows: int
    length: int
    number: int
    kind: Kind
    recompute: bool

    @property
    def stream(self) -> int:
        """One copy of the residual stream."""
        return self.windows * self.length * self.shape.width * self.number

    @property
    def table(self) -> int:
        """One array of the embedding's size."""
        return self.vocabulary * self.shape.width * self.number

    @property
    def layer(self) -> int:
        """Activations that one layer keeps without recomputation."""
        shape, tokens = self.shape, self.windows * self.length
        queries, keys = attention_widths(shape)
        # Rotated queries and keys, the result of the fused projection, and the attention's result with a copy that
        # puts the heads side by side.
        attention = 3 * queries + keys + (queries + 2 * keys)
        # Gate and up projection, the activated gate, and the product.
        mlp = 4 * shape.mlp_width
        numbers = 2 * self._norm + tokens * (attention + mlp) * self.number
        return numbers + 4 * tokens * shape.heads + self._turn

    @property
    def _norm(self) -> int:
        """Activations that a norm keeps, and its result, which the next projection keeps."""
        tokens = self.windows * self.length
        if self.kind == "cpu":
            # Made of elementary operations in float32: its input, the normalised input, and the root's inverse.
            return tokens * (self.shape.width * (4 + 4 + self.number) + 4)
        return tokens * (self.shape.width * 2 * self.number + 4)

    @property
    def _turn(self) -> int:
        """Cosines and sines that the rotation keeps in each layer."""
        return 16 * self.length * self.shape.head_dim if self.kind == "cpu" and self.number == 4 else 0

    @property
    def kept(self) -> int:
        """Activations that all layers keep."""
        return self.shape.layers * (self.stream if self.recompute else self.layer)

    def kept_below(self, layer: int) -> int:
        """Return the activations still kept while the backward pass is in layer ``layer``, including that layer's."""
        if not self.recompute:
            return (layer + 1) * self.layer
        # The layer's input is its first norm's too.
        return layer * self.stream + self.layer

    @property
    def within_layer(self) -> int:
        """Working memory of the backward pass within a layer: gradients of the stream and in the MLP.

        There are the gradients of the product, of the opened gate and of the other factor, and the product is freed.
        """
        return self.stream + 2 * self.windows * self.length * self.shape.mlp_width * self.number

    @property
    def last_norm(self) -> int:
        """Activations that the last norm keeps."""
        return self._norm - self.stream

    @property
    def loss_forward(self) -> int:
        """Memory of the loss in the forward pass: a chunk of logits, and gradients computed with it."""
        rows = max(FEWEST_ROWS[self.kind], CHUNK_LOGITS[self.kind] // self.vocabulary)
        rows = min(rows, self.windows * self.length)
        # In bfloat16 the logits exist in both precisions.
        chunk = rows * self.vocabulary * (4 if self.number == 4 else 8)
        total = self.vocabulary * self.shape.width * 4  # the gradient is summed in float32
        return 2 * self.stream + total + self.table + chunk

    @property
    def loss_backward(self) -> int:
        """Memory of the loss in the backward pass: every gradient twice."""
        return 2 * (self.stream + self.table)
