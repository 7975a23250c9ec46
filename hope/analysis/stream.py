"""The attention of a few queries, layer by layer, while the model runs.

No L x L map is held: each layer computes the logits of the wanted queries only, and accumulators add up the result at
once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from hope.model.attention import LayerAttention, LayerWeights
from hope.model.bounded_passes import row_slices
from hope.model.language_model import LanguageModel
from hope.model.loss import token_losses


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
        logits: scaled, with the encoding's bias, -inf at keys that a query does not see, float32
            ``[documents, heads, Q, end]``.
        weights: their softmax.
        queries: after the encoding, float32 ``[documents, heads, Q, dim]``; None of a model that does not show them.
        keys: after the encoding, float32 ``[documents, kv_heads, end, dim]``; None likewise.
        scale: factor of the inner products in the logits.
    """

    layer: int
    end: int
    rows: slice
    logits: Tensor
    weights: Tensor
    queries: Tensor | None = None
    keys: Tensor | None = None
    scale: float = 1.0


class Accumulator(Protocol):
    """A measure that adds up attention."""

    def add(self, seen: Observed) -> None:
        """Add the attention of one layer, group and batch."""

    def sums(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that :meth:`add` changes, by name: the whole state."""


def observe_attention(
    model: LanguageModel, tokens: Tensor, scope: Scope, accumulators: Sequence[Accumulator], losses: bool = False
) -> Tensor | None:
    """Run the model over documents and add the attention of each group of queries to every accumulator.

    Args:
        model: the language model.
        tokens: int64 ``[documents, tokens]``, at least up to the last end.
        scope: the queries.
        accumulators: each is called per layer, group and batch of documents.
        losses: return the loss of every token given those before it too, from the same pass. Otherwise tokens after
            the last end are not read.

    Returns:
        The losses in nats, float32 ``[documents, tokens - 1]`` on the CPU, or None.
    """
    read = tokens.shape[1] - 1 if losses else scope.ends[-1]
    parts = []
    with torch.inference_mode():
        for rows in row_slices(len(tokens), read, model.device, "attention"):
            observe = partial(_observe_layer, rows, scope, accumulators)
            if losses:
                parts.append(token_losses(model, tokens[rows].to(model.device), observe).cpu())
            else:
                model(tokens[rows, :read].to(model.device), observe=observe)
    return torch.cat(parts) if losses else None


def _observe_layer(
    rows: slice, scope: Scope, accumulators: Sequence[Accumulator], attention: LayerAttention | LayerWeights
) -> None:
    for end in scope.ends:
        start = end - scope.queries
        logits = attention.logits(start, end)
        shown: dict[str, Any] = {}
        if isinstance(attention, LayerAttention):
            shown = {
                "queries": attention.queries[:, :, start:end].float(),
                "keys": attention.keys[:, :, :end].float(),
                "scale": attention.scale,
            }
        observed = Observed(attention.layer, end, rows, logits, logits.softmax(dim=-1), **shown)
        for accumulator in accumulators:
            accumulator.add(observed)


def pooled(weights: Tensor, table: Tensor) -> Tensor:
    """Return ``sum over queries and keys of weights * table``, float32 ``[documents, heads, pools]``.

    Args:
        weights: ``[documents, heads, queries, keys]``.
        table: weight of each query and key in each pool, ``[queries, keys, pools]``.
    """
    return weights.flatten(2) @ table.to(weights.device).flatten(0, 1)
