"""What a forward pass keeps for the backward pass, and what the two hold beside it: bytes of one process.

Counted from the decoder's own operators (:mod:`hope.model.operators`, :mod:`hope.model.loss`), which
tests/plan compares with what autograd really keeps. Counted is an encoding that rotates; one that puts a bias on the
logits, or makes logits, queries or keys in a way of its own, holds more.
"""

from dataclasses import dataclass
from typing import Literal

from hope.config import Model
from hope.plan.sizes import attention_widths

Kind = Literal["cpu", "gpu"]

CHUNK_LOGITS = {"cpu": 2**20, "gpu": 2**26}
"""Logits that the loss holds at once (:mod:`hope.model.loss`)."""
FEWEST_ROWS = {"cpu": 256, "gpu": 1}
"""Rows of logits that the loss holds at once at least."""


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass of a process.

    Attributes:
        shape: the decoder's sizes.
        vocabulary: number of token ids.
        windows: windows of the pass.
        length: tokens of a window.
        number: bytes of one number: 4 in float32, 2 in bfloat16.
        kind: where it runs.
        recompute: whether each layer's activations are computed again in the backward pass.
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
        """The residual stream at one place."""
        return self.windows * self.length * self.shape.width * self.number

    @property
    def table(self) -> int:
        """One array of the embedding's size."""
        return self.vocabulary * self.shape.width * self.number

    @property
    def layer(self) -> int:
        """What one layer keeps when nothing is computed again."""
        shape, tokens = self.shape, self.windows * self.length
        queries, keys = attention_widths(shape)
        # Rotated queries and keys, what the fused projection gave, and the result, whose heads lie as those of
        # the rotated queries do: to put them side by side takes a copy.
        attention = 3 * queries + keys + (queries + 2 * keys)
        # Gate and up side by side, the opened gate, and the product.
        mlp = 4 * shape.mlp_width
        numbers = 2 * self._norm + tokens * (attention + mlp) * self.number
        return numbers + 4 * tokens * shape.heads + self._turn

    @property
    def _norm(self) -> int:
        """What a norm keeps, and its result, which the next projection keeps."""
        tokens = self.windows * self.length
        if self.kind == "cpu" and self.number == 2:
            # In bfloat16 a CPU's norm is made of elementary operations in float32.
            return tokens * (self.shape.width * (4 + 4 + 2) + 4)
        return tokens * (self.shape.width * 2 * self.number + 4)

    @property
    def _turn(self) -> int:
        """Cosines and sines that the rotation keeps in each layer."""
        return 16 * self.length * self.shape.head_dim if self.kind == "cpu" and self.number == 4 else 0

    @property
    def kept(self) -> int:
        """What all layers keep."""
        return self.shape.layers * (self.stream if self.recompute else self.layer)

    def kept_below(self, layer: int) -> int:
        """Return what is still kept while the backward pass is in layer ``layer``, from 0, that layer included."""
        if not self.recompute:
            return (layer + 1) * self.layer
        return (layer + 1) * self.stream + self.layer

    @property
    def within_layer(self) -> int:
        """What the backward pass holds within a layer beside: gradients of the stream and in the MLP."""
        return self.stream + 3 * self.windows * self.length * self.shape.mlp_width * self.number

    @property
    def last_norm(self) -> int:
        """What the last norm keeps."""
        return self._norm - self.stream

    @property
    def loss_forward(self) -> int:
        """What the loss holds while it is computed: a chunk of logits, and gradients made with it."""
        rows = max(FEWEST_ROWS[self.kind], CHUNK_LOGITS[self.kind] // self.vocabulary)
        rows = min(rows, self.windows * self.length)
        # In bfloat16 the logits are there in both precisions; in float32 a CPU's product copies them once.
        chunk = rows * self.vocabulary * (4 if self.number == 4 and self.kind == "gpu" else 8)
        total = self.vocabulary * self.shape.width * 4  # the gradient is summed in float32
        return 2 * self.stream + total + self.table + chunk

    @property
    def loss_backward(self) -> int:
        """What the loss holds while it hands its gradients on: each is there twice."""
        return 2 * (self.stream + self.table)
