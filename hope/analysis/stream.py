"""The attention of a few queries, layer by layer, while the model runs.

No L x L map is ever made: in each layer only the queries that are asked for meet all their keys, and
what they attend to goes at once into accumulators that hold sums.
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
    """What is looked at.

    Attributes:
        layers: layers of the model.
        heads: query heads of a layer.
        ends: where groups of queries end, rising: the last query of a group stands at ``end - 1``.
        queries: neighbouring queries of a group.
        documents: documents in all.
    """

    layers: int
    heads: int
    ends: list[int]
    queries: int
    documents: int


@dataclass(frozen=True)
class Observed:
    """What neighbouring queries of one layer attend to, in a batch of documents.

    Query i of the Q queries stands at position ``end - Q + i`` and sees the keys up to its own position.

    Attributes:
        layer: index of the layer, from 0.
        end: one more than the position of the last query; as many keys are seen by it.
        rows: which documents of the whole set these are.
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
    """Something that sums up attention."""

    def add(self, seen: Observed) -> None:
        """Take in what was observed."""


def observe_attention(model: Decoder, tokens: Tensor, scope: Scope, accumulators: Sequence[Accumulator]) -> None:
    """Run the model over documents and show every measure the attention of each group of queries.

    Args:
        model: the language model.
        tokens: int64 ``[documents, tokens]``, no fewer tokens than the last end, past which none is read.
        scope: which queries are looked at.
        accumulators: what is told of each layer, group and batch of documents.
    """
    device = next(model.parameters()).device
    tokens = tokens[:, : scope.ends[-1]]
    with torch.inference_mode():
        for rows in row_slices(len(tokens), tokens.shape[1], device, "attention"):
            told = partial(_tell, rows, model.shape.head_dim**-0.5, scope, accumulators)
            model(tokens[rows].to(device), observe=told)


def _tell(
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
        table: what each query and key counts for in each pool, ``[queries, keys, pools]``.
    """
    return weights.flatten(2) @ table.to(weights.device).flatten(0, 1)
