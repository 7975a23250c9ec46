"""A bias on the logits without parameters, as declared by its family."""

from collections.abc import Callable

from torch import Tensor

from hope.encodings.base import Encoding, EncodingShape


class FixedBias(Encoding):
    """Adds a function of head and positions to the logits, the same in every layer."""

    has_bias = True

    def __init__(self, shape: EncodingShape, formula: Callable[[Tensor, Tensor, Tensor], Tensor], name: str) -> None:
        """Keep the function of heads, queries and keys, and the name for errors."""
        super().__init__(shape)
        self.formula = formula
        self.name = name

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the function's result."""
        return self.formula(heads, queries, keys)
