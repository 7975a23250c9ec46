"""One pass over a long text: layer by layer, and but for the attention a few thousand tokens at a time.

A plain forward pass holds the inner layer of the MLP and the fused projections for all tokens at once. Here a
layer first projects and encodes its tokens piece by piece, then attends over all of them, then finishes them
piece by piece, in place. What is held for all tokens is the residual stream, one layer's queries, keys and
values, and what they read: five arrays of tokens times width where there are as many key as query heads,
whatever the number of layers, the width of the MLP and the vocabulary. (The queries are kept whole because
the fused kernel's causal mask needs them so; in blocks of queries with a mask it takes up to 1.6 times as long.)
"""

import torch
from torch import Tensor

from hope.data.progress import ProgressLines
from hope.encodings.base import Encoding
from hope.encodings.extensions import Resized
from hope.model import bounded_passes
from hope.model.decoder import Block, Decoder, Frame
from hope.model.language_model import LanguageModel


@torch.inference_mode()
def last_hidden(model: LanguageModel, tokens: Tensor, first: int = 0) -> Tensor:
    """Return what ``model(tokens, first=first)`` returns, within rounding: ``[batch, tokens - first, width]``.

    Up to as many tokens as one pass of an evaluation holds it is the plain forward pass itself, and for a stock model
    always.

    Args:
        model: the model, in evaluation.
        tokens: int64 ``[batch, tokens]``, from position 0 on.
        first: index of the first token whose hidden state is asked for.
    """
    at_once = bounded_passes.TOKENS_ON_CPU if tokens.device.type == "cpu" else bounded_passes.TOKENS_ON_GPU
    if tokens.numel() <= at_once or not isinstance(model, Decoder):
        return model(tokens, first=first)
    return in_pieces(model, tokens, max(1, at_once // len(tokens)))[:, first:]


@torch.inference_mode()
def in_pieces(model: Decoder, tokens: Tensor, size: int) -> Tensor:
    """Return the last hidden state, normalised, with ``size`` tokens of each row at a time outside the attention."""
    length = tokens.shape[1]
    positions = torch.arange(length, device=tokens.device)
    encoding = model.encoding
    if isinstance(encoding, Resized):
        encoding = encoding.settled(length)  # one pass: all of its tokens turn by the angles of its length
    pieces = [slice(start, min(start + size, length)) for start in range(0, length, size)]
    prepared = [None if encoding.recodes else encoding.prepare(positions[piece]) for piece in pieces]
    embedded = [encoding.embed(model.embedding(tokens[:, piece]), positions[piece]) for piece in pieces]
    hidden = torch.cat(embedded, dim=1)
    del embedded
    progress = ProgressLines(f"a text of {length:,} tokens")
    for number, block in enumerate(model.blocks, start=1):
        assert isinstance(block, Block)
        mixed = _attention(model, block, hidden, encoding, positions, pieces, prepared)
        for piece in pieces:
            rows = hidden[:, piece]
            rows = rows + block.attention.output(mixed[:, :, piece].transpose(1, 2).flatten(2))
            hidden[:, piece] = rows + block.mlp(block.mlp_norm(rows))
        del mixed  # or the next layer's would stand beside it
        if not bounded_passes.report_within(number / (len(model.blocks) + 1)):
            progress.report(f"layer {number} of {len(model.blocks)}")
    for piece in pieces:
        hidden[:, piece] = model.norm(hidden[:, piece])
    return hidden


def _attention(
    model: Decoder,
    block: Block,
    hidden: Tensor,
    encoding: Encoding,
    positions: Tensor,
    pieces: list[slice],
    prepared: list,
) -> Tensor:
    """Return what the heads of a layer read before their output projection, ``[batch, heads, tokens, dim]``."""
    attention, length = block.attention, len(positions)
    held: list[Tensor] = []
    for piece, made in zip(pieces, prepared, strict=True):
        rows = block.attention_norm(hidden[:, piece])
        queries, keys, values = attention.project(rows)
        if not encoding.recodes:
            queries, keys = encoding.rotate(queries, keys, made, rows, attention.layer)
        parts = queries, keys, values
        held = held or [part.new_empty(len(part), part.shape[1], length, part.shape[3]) for part in parts]
        for whole, part in zip(held, parts, strict=True):
            whole[:, :, piece] = part
    queries, keys, values = held
    if not encoding.recodes:
        return attention.read(queries, keys, values, hidden, encoding, Frame(0, length, positions, None), None)
    mixed = []
    span = encoding.span or length
    for start in range(0, length, span):
        some = slice(start, min(start + span, length))
        rows = block.attention_norm(hidden[:, some])
        # As if behind a cache. Prepared when it is needed: all frames together could fill the memory.
        for frame in model.frames(positions[some], start):
            mixed.append(attention.read(queries[:, :, some], keys, values, rows, encoding, frame, None))
    return torch.cat(mixed, dim=2)
