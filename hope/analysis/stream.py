"""The attention of a few queries, layer by layer, while the model runs.

No L x L map is held: each layer computes the logits of the wanted queries only, and accumulators add up the result at
once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from hope.model.attention import LayerEncoding, causal_logits
from hope.model.bounded_passes import row_slices
from hope.model.decoder import Decoder


@dataclass(frozen=True)
class Scope:
    """The layers, heads, queries and documents of an analysis.

    Attributes:
        layers: layers of the model.
        heads: query heads of a layer.
        ends: ends of the groups of queries, rising: the last query of a group is at position ``end - 1``.
        queries: neighbouring queries of a group.
        documents: number of documents.
    """

    layers: int
    heads: int
    ends: list[int]
    queries: int
    documents: int


@dataclass(frozen=True)
class Observed:
    """The attention of neighbouring queries of one layer, in a batch of documents.

    Query i of the Q queries is at position ``end - Q + i`` and sees the keys up to its own position.

    Attributes:
        layer: index of the layer, from 0.
        end: one more than the position of the last query, and the number of keys that it sees.
        rows: the batch's rows in the whole set of documents.
        queries: after the encoding, float32 ``[documents, heads, Q, dim]``.
        keys: after the encoding, float32 ``[documents, kv_heads, end, dim]``.
        scale: factor of the inner products in the logits.
        logits: scaled, with the encoding's bias, -inf at keys after the query, float32
            ``[documents, heads, Q, end]``.
        weights: their softmax.
    """

    layer: int
    end: int
    rows: slice
    queries: Tensor
    keys: Tensor
    scale: float
    logits: Tensor
    weights: Tensor


class Accumulator(Protocol):
    """A measure that adds up attention."""

    def add(self, seen: Observed) -> None:
        """Add the attention of one layer, group and batch."""


def observe_attention(model: Decoder, tokens: Tensor, scope: Scope, accumulators: Sequence[Accumulator]) -> None:
    """Run the model over documents and add the attention of each group of queries to every accumulator.

    Args:
        model: the language model.
        tokens: int64 ``[documents, tokens]``, at least up to the last end; later ones are not read.
        scope: the queries.
        accumulators: each is called per layer, group and batch of documents.
    """
    device = next(model.parameters()).device
    tokens = tokens[:, : scope.ends[-1]]
    with torch.inference_mode():
        for rows in row_slices(len(tokens), tokens.shape[1], device, "attention"):
            observe = partial(_observe_layer, rows, model.shape.head_dim**-0.5, scope, accumulators)
            model(tokens[rows].to(device), observe=observe)


def _observe_layer(
    rows: slice,
    scale: float,
    scope: Scope,
    accumulators: Sequence[Accumulator],
    layer: int,
    queries: Tensor,
    keys: Tensor,
    layer_encoding: LayerEncoding,
) -> None:
    for end in scope.ends:
        start = end - scope.queries
        some, seen = queries[:, :, start:end].float(), keys[:, :, :end].float()
        logits = causal_logits(some, seen, layer_encoding, scale)
        observed = Observed(layer, end, rows, some, seen, scale, logits, logits.softmax(dim=-1))
        for accumulator in accumulators:
            accumulator.add(observed)


def pooled(weights: Tensor, table: Tensor) -> Tensor:
    """Return ``sum over queries and keys of weights * table``, float32 ``[documents, heads, pools]``.

    Args:
        weights: ``[documents, heads, queries, keys]``.
        table: weight of each query and key in each pool, ``[queries, keys, pools]``.
    """
    return weights.flatten(2) @ table.to(weights.device).flatten(0, 1)
