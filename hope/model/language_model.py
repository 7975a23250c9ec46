"""What analysis and evaluation ask of a model: a decoder of this project has it, and so does a stock checkpoint."""

from typing import Protocol

import torch
from torch import Tensor

from hope.encodings.base import Encoding
from hope.model.attention import Observer


class Sizes(Protocol):
    """The sizes of a model."""

    @property
    def layers(self) -> int:
        """Number of layers."""

    @property
    def heads(self) -> int:
        """Query heads of a layer."""

    @property
    def head_dim(self) -> int:
        """Width d of a query."""


class LanguageModel(Protocol):
    """A causal language model, ready for evaluation.

    Attributes:
        training_length: L, in tokens.
        encoding: the positional encoding. Another one in its place changes what the model computes.
    """

    training_length: int
    encoding: Encoding

    @property
    def shape(self) -> Sizes:
        """The sizes."""

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""

    @property
    def turned_layers(self) -> list[int]:
        """The layers whose queries and keys a rotary :attr:`encoding` turns, rising."""

    def __call__(self, tokens: Tensor, *, observe: Observer | None = None, first: int = 0) -> Tensor:
        """Return the last hidden state of tokens ``first`` and later, ``[batch, tokens - first, width]``.

        Args:
            tokens: int64 ``[batch, tokens]``, from position 0 on.
            observe: is called with the attention of each layer.
            first: index of the first token whose hidden state is asked for.
        """

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits ``[..., vocabulary]`` of hidden states ``[..., width]``."""
