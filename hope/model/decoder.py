"""A decoder of the Llama kind (RMSNorm, SwiGLU, no biases) with any positional encoding."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hope import config
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.registry import build_encoding
from hope.model.attention import Bias, attend
from hope.seeding import seed_of

Observer = Callable[[int, Tensor, Tensor, Bias | None], None]


class Attention(nn.Module):
    """Multi-head attention with grouped keys and values and one fused projection."""

    def __init__(self, shape: config.Model, layer: int) -> None:
        """Make the projections of layer ``layer``."""
        super().__init__()
        self.layer = layer
        self.heads, self.head_dim = shape.heads, shape.head_dim
        self.kv_heads = shape.kv_heads or shape.heads
        self.qkv = nn.Linear(shape.width, (self.heads + 2 * self.kv_heads) * self.head_dim, bias=False)
        self.output = nn.Linear(self.heads * self.head_dim, shape.width, bias=False)

    def forward(
        self, hidden: Tensor, encoding: Encoding, prepared: object, positions: Tensor, observe: Observer | None
    ) -> Tensor:
        """Return the attention's output ``[batch, tokens, width]``."""
        batch, tokens, _ = hidden.shape
        sizes = (self.heads, self.kv_heads, self.kv_heads)
        split = self.qkv(hidden).view(batch, tokens, sum(sizes), self.head_dim).transpose(1, 2)
        queries, keys, values = split.split(sizes, dim=1)
        queries, keys = encoding.rotate(queries, keys, prepared, hidden, self.layer)
        bias = partial(encoding.bias, layer=self.layer) if encoding.has_bias else None
        if observe is not None:
            observe(self.layer, queries, keys, bias)
        mixed = attend(queries, keys, values, positions, self.head_dim**-0.5, bias)
        return self.output(mixed.transpose(1, 2).reshape(batch, tokens, -1))


class Mlp(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv 2002.05202) with one fused input projection."""

    def __init__(self, shape: config.Model) -> None:
        """Make the projections."""
        super().__init__()
        self.gate_up = nn.Linear(shape.width, 2 * shape.mlp_width, bias=False)
        self.down = nn.Linear(shape.mlp_width, shape.width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the MLP's output ``[batch, tokens, width]``."""
        gate, up = self.gate_up(hidden).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """Attention and MLP, each behind a norm and beside the residual stream."""

    def __init__(self, shape: config.Model, layer: int) -> None:
        """Make layer ``layer``."""
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, shape.norm_epsilon)
        self.attention = Attention(shape, layer)
        self.mlp_norm = nn.RMSNorm(shape.width, shape.norm_epsilon)
        self.mlp = Mlp(shape)

    def forward(
        self, hidden: Tensor, encoding: Encoding, prepared: object, positions: Tensor, observe: Observer | None
    ) -> Tensor:
        """Return the residual stream after this layer, ``[batch, tokens, width]``."""
        hidden = hidden + self.attention(self.attention_norm(hidden), encoding, prepared, positions, observe)
        return hidden + self.mlp(self.mlp_norm(hidden))


class Decoder(nn.Module):
    """The language model.

    Attributes:
        shape: the sizes.
        vocabulary: number of token ids.
        training_length: L, in tokens.
        encoding: the positional encoding, one for all layers.
    """

    def __init__(
        self, shape: config.Model, vocabulary: int, length: int, encoding: config.Encoding, recompute: bool = False
    ) -> None:
        """Make a decoder whose weights are not set yet: call :meth:`initialise` or load them.

        Args:
            shape: the sizes.
            vocabulary: number of token ids.
            length: the training length L.
            encoding: which encoding, with its settings.
            recompute: recompute each layer in the backward pass instead of keeping its activations.
        """
        super().__init__()
        self.shape, self.vocabulary, self.training_length, self.recompute = shape, vocabulary, length, recompute
        self.embedding = nn.Embedding(vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, shape.norm_epsilon)
        self.head = None if shape.tied_embeddings else nn.Linear(shape.width, vocabulary, bias=False)
        sizes = EncodingShape(
            layers=shape.layers,
            width=shape.width,
            heads=shape.heads,
            kv_heads=shape.kv_heads or shape.heads,
            head_dim=shape.head_dim,
            length=length,
        )
        self.encoding = build_encoding(encoding, sizes)

    @torch.no_grad()
    def initialise(self, seed: int) -> "Decoder":
        """Fill every parameter from a generator keyed by the seed and the parameter's name.

        Parameters that two encodings share therefore begin with the same bits. Matrices are normal with
        standard deviation ``sqrt(2 / (5 width))`` (Nguyen and Salazar 2019, arXiv 1910.05895, section
        2.2: 0.023 at 768 wide), those that write to the residual stream divided by the square root of
        twice the layers (Radford et al. 2019, section 2.3); norms are 1.
        """
        std = (2 / (5 * self.shape.width)) ** 0.5
        for name, parameter in self.named_parameters():
            if name.startswith("encoding."):
                continue
            if parameter.dim() == 1:
                parameter.fill_(1.0)
                continue
            writes = name.endswith(("attention.output.weight", "mlp.down.weight"))
            scale = (2 * self.shape.layers) ** -0.5 if writes else 1.0
            parameter.normal_(0.0, scale * std, generator=named_generator(seed, name))
        self.encoding.initialise(lambda name: named_generator(seed, f"encoding.{name}"))
        return self

    def forward(self, tokens: Tensor, positions: Tensor | None = None, observe: Observer | None = None) -> Tensor:
        """Return the last hidden state, normalised, ``[batch, tokens, width]``.

        Args:
            tokens: int64 ``[batch, tokens]``.
            positions: int64 ``[tokens]``, rising; 0, 1, 2, ... if None.
            observe: is told of each layer's queries and keys after the encoding, and of its bias.
        """
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = self.encoding.embed(self.embedding(tokens), positions)
        prepared = self.encoding.prepare(positions)
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                hidden = checkpoint(block, hidden, self.encoding, prepared, positions, observe, use_reentrant=False)
            else:
                hidden = block(hidden, self.encoding, prepared, positions, observe)
        return self.norm(hidden)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits ``[..., vocabulary]`` of hidden states ``[..., width]``."""
        return F.linear(hidden, self.embedding.weight if self.head is None else self.head.weight)


def named_generator(seed: int, name: str) -> torch.Generator:
    """Return a CPU generator that depends on ``seed`` and ``name`` alone."""
    return torch.Generator().manual_seed(seed_of("parameter", seed, name))
