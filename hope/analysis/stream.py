"""The attention of a few queries, layer by layer, while the model runs.

No L x L map is ever made: in each layer only the queries that are asked for meet all their keys, and
what they attend to goes at once into measures that hold sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from hope.model.attention import Place, causal_logits
from hope.model.decoder import Decoder
from hope.model.inputs import batches


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


class Measure(Protocol):
    """Something that sums up attention."""

    def add(self, seen: Observed) -> None:
        """Take in what was observed."""


def observe_attention(model: Decoder, tokens: Tensor, scope: Scope, measures: Sequence[Measure]) -> None:
    """Run the model over documents and show every measure the attention of each group of queries.

    Args:
        model: the language model.
        tokens: int64 ``[documents, tokens]``, no fewer tokens than the last end, past which none is read.
        scope: which queries are looked at.
        measures: what is told of each layer, group and batch of documents.
    """
    device = next(model.parameters()).device
    tokens = tokens[:, : scope.ends[-1]]
    with torch.inference_mode():
        for rows in batches(len(tokens), tokens.shape[1], device, "attention"):
            told = partial(_tell, rows, model.shape.head_dim**-0.5, scope, measures)
            model(tokens[rows].to(device), observe=told)


def _tell(
    rows: slice,
    scale: float,
    scope: Scope,
    measures: Sequence[Measure],
    layer: int,
    queries: Tensor,
    keys: Tensor,
    place: Place,
) -> None:
    for end in scope.ends:
        start = end - scope.queries
        some, seen = queries[:, :, start:end].float(), keys[:, :, :end].float()
        logits = causal_logits(some, seen, place, scale)
        found = Observed(layer, end, rows, some, seen, scale, logits, logits.softmax(dim=-1))
        for measure in measures:
            measure.add(found)


def pooled(weights: Tensor, table: Tensor) -> Tensor:
    """Return ``sum over queries and keys of weights * table``, float32 ``[documents, heads, pools]``.

    Args:
        weights: ``[documents, heads, queries, keys]``.
        table: what each query and key counts for in each pool, ``[queries, keys, pools]``.
    """
    return weights.flatten(2) @ table.to(weights.device).flatten(0, 1)
