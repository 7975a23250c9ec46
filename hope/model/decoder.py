"""A decoder of the Llama kind with any positional encoding.

RMSNorm is that of Zhang and Sennrich 2019 (arXiv 1910.07467), SwiGLU that of Shazeer 2020 (arXiv 2002.05202).
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hope import config
from hope.encodings.base import Encoding
from hope.encodings.registry import build_encoding
from hope.encodings.shape import encoding_shape
from hope.errors import UserError
from hope.model.attention import LayerAttention, LayerEncoding, Observer, attend
from hope.model.cache import Cache
from hope.seeding import seed_of


@dataclass(frozen=True)
class Frame:
    """Queries that are encoded together, with all keys up to the last of them.

    Attributes:
        start: index of the first of the queries, counted from the first new token.
        stop: one more than the index of the last.
        positions: of the keys, int64 ``[keys]``.
        prepared: what the encoding made of the positions that it encodes.
    """

    start: int
    stop: int
    positions: Tensor
    prepared: Any


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
        self, hidden: Tensor, encoding: Encoding, frames: list[Frame], cache: Cache | None, observe: Observer | None
    ) -> Tensor:
        """Return the attention's output for the queries of ``frames``, ``[batch, queries, width]``."""
        queries, keys, values = self.project(hidden)
        if not encoding.recodes:
            queries, keys = encoding.rotate(queries, keys, frames[0].prepared, hidden, self.layer)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer)
        parts = [self.read(queries, keys, values, hidden, encoding, frame, observe) for frame in frames]
        mixed = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def project(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries ``[batch, heads, tokens, head_dim]``, and keys and values of ``kv_heads``."""
        sizes = (self.heads, self.kv_heads, self.kv_heads)
        fused = self.qkv(hidden).view(*hidden.shape[:2], sum(sizes), self.head_dim)
        queries, keys, values = (part.transpose(1, 2) for part in fused.split(sizes, dim=2))
        return queries, keys, values

    def read(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        hidden: Tensor,
        encoding: Encoding,
        frame: Frame,
        observe: Observer | None,
    ) -> Tensor:
        """Return what the queries of a frame read, ``[batch, heads, queries, head_dim]``."""
        seen = len(frame.positions)
        queries, keys, values = queries[:, :, frame.start : frame.stop], keys[:, :, :seen], values[:, :, :seen]
        if encoding.recodes:
            rows = hidden[:, frame.start : frame.stop]
            queries, keys = encoding.rotate(queries, keys, frame.prepared, rows, self.layer)
        layer_encoding = LayerEncoding(encoding, self.layer, frame.positions)
        if observe is not None:
            observe(LayerAttention(queries, keys, layer_encoding, self.head_dim**-0.5))
        return attend(queries, keys, values, layer_encoding, self.head_dim**-0.5)


class Mlp(nn.Module):
    """SwiGLU with one fused input projection."""

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
        self, hidden: Tensor, encoding: Encoding, frames: list[Frame], cache: Cache | None, observe: Observer | None
    ) -> Tensor:
        """Return the residual stream after this layer where ``frames`` have queries, ``[batch, queries, width]``."""
        mixed = self.attention(self.attention_norm(hidden), encoding, frames, cache, observe)
        first = frames[0].start
        hidden = (hidden[:, first:] if first else hidden) + mixed
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
        self, shape: config.Model, vocabulary: int, length: int, encoding: config.EncodingSpec, recompute: bool = False
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
        self.encoding = build_encoding(encoding, encoding_shape(shape, length))

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

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        observe: Observer | None = None,
        cache: Cache | None = None,
        first: int = 0,
    ) -> Tensor:
        """Return the last hidden state, normalised, ``[batch, tokens - first, width]``.

        Args:
            tokens: int64 ``[batch, tokens]``.
            positions: int64 ``[tokens]``, rising by one; they go on from the cache's, or from 0, if None.
            observe: is called with each layer's queries and keys after the encoding.
            cache: keys and values of the tokens before these; takes in those of these.
            first: index of the first token whose hidden state is asked for: in the last layer, tokens before it
                are keys and values alone.

        Raises:
            UserError: a position is negative, or one that the encoding does not have.
        """
        past = 0 if cache is None else cache.get_seq_length()
        if positions is None:
            positions = torch.arange(past, past + tokens.shape[1], device=tokens.device)
        elif len(positions) and int(positions[0]) < 0:
            raise UserError(f"position {int(positions[0])} is negative; positions count from 0")
        hidden = self.encoding.embed(self.embedding(tokens), positions)
        frames = self.frames(positions, past)
        if observe is not None and len(frames) > 1:
            raise UserError(f"attention of this encoding can be looked at over {self.encoding.span} tokens, no more")
        for block in self.blocks:
            if first and block is self.blocks[-1]:
                frames = [replace(frame, start=max(frame.start, first)) for frame in frames if frame.stop > first]
            if self.recompute and torch.is_grad_enabled():
                hidden = checkpoint(block, hidden, self.encoding, frames, cache, observe, use_reentrant=False)
            else:
                hidden = block(hidden, self.encoding, frames, cache, observe)
        return self.norm(hidden)

    def frames(self, positions: Tensor, past: int) -> list[Frame]:
        """Return the frames of new tokens at ``positions`` behind ``past`` tokens of a cache."""
        count, encoding = len(positions), self.encoding
        whole = positions
        if past:
            whole = torch.arange(-past, count, device=positions.device) + positions[0]
        if not encoding.recodes:
            return [Frame(0, count, whole, encoding.prepare(positions))]
        step = encoding.span or max(count, 1)
        frames = []
        for start in range(0, max(count, 1), step):
            stop = min(start + step, count)
            seen = whole[: past + stop]
            frames.append(Frame(start, stop, seen, encoding.prepare(seen)))
        return frames

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.embedding.weight.device

    @property
    def turned_layers(self) -> list[int]:
        """The layers whose queries and keys a rotary encoding turns: all."""
        return list(range(self.shape.layers))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits ``[..., vocabulary]`` of hidden states ``[..., width]``."""
        return F.linear(hidden, self.output_weight)

    @property
    def output_weight(self) -> Tensor:
        """The projection to the vocabulary, ``[vocabulary, width]``."""
        return self.embedding.weight if self.head is None else self.head.weight


def named_generator(seed: int, name: str) -> torch.Generator:
    """Return a CPU generator that depends on ``seed`` and ``name`` alone."""
    return torch.Generator().manual_seed(seed_of("parameter", seed, name))
