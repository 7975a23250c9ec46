"""The divergence of attention past the training length from attention within it."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hope.analysis.columns import Axes, Columns, long_columns
from hope.analysis.stream import Observed, Scope, pooled


class Divergence:
    """Total variation between the attention of the last queries within L and of queries past L.

    The attention of a query is a distribution over classes of keys: the first key of the context; the others by
    distance in octaves, 0, 1, 2-3, 4-7, ... below L; and all keys from L on. The divergence of two such distributions
    p and q, means over neighbouring queries of the same document, layer and head, is ``sum |p - q| / 2``: the share of
    attention that lies elsewhere, from 0 to 1.

    Mass at distances from L on counts in full, because attention within L has none there. The classes are octaves,
    because single distances would measure which tokens happen to be there. The first key has its own class, because a
    head that attends to it within L and past L behaves alike, although the distance differs. The definition is this
    project's own.
    """

    def __init__(self, scope: Scope, length: int) -> None:
        """Start with no attention seen; one of the ends is ``length``, the training length."""
        self.scope, self.length = scope, length
        self.ends = [end for end in scope.ends if end >= length]
        shape = len(self.ends), scope.layers, scope.heads, scope.documents, classes_of(length)
        self.distributions = np.full(shape, np.nan)
        self._tables: dict[int, Tensor] = {}

    def add(self, seen: Observed) -> None:
        """Store the distributions of a batch."""
        if seen.end not in self.ends:
            return
        if seen.end not in self._tables:
            self._tables[seen.end] = class_table(self.length, seen.end, self.scope.queries)
        mass = pooled(seen.weights, self._tables[seen.end]).transpose(0, 1).cpu().numpy()
        self.distributions[self.ends.index(seen.end), seen.layer, :, seen.rows] = mass

    def sums(self) -> dict[str, NDArray]:
        """Return the arrays that :meth:`add` changes."""
        return {"distributions": self.distributions}

    def divergences(self) -> NDArray[np.float64]:
        """Return the divergence ``[ends past L, layers, heads, documents]``."""
        within, past = self.distributions[:1], self.distributions[1:]
        return np.abs(past - within).sum(axis=-1) / 2

    def columns(self, documents: NDArray[np.int64]) -> Columns:
        """Return the rows of ``divergence.parquet``; ``documents`` are the documents' numbers."""
        axes: Axes = {
            "query": [end - 1 for end in self.ends[1:]],
            "layer": range(self.scope.layers),
            "head": range(self.scope.heads),
            "document": documents,
        }
        grid = long_columns(axes, {"divergence": self.divergences()})
        return {name: grid[name] for name in ("document", "query", "layer", "head", "divergence")}


def classes_of(length: int) -> int:
    """Return the number of classes: the first key, distance 0, the octaves below ``length``, and the rest."""
    return 3 + math.ceil(math.log2(length))


def class_table(length: int, end: int, queries: int) -> Tensor:
    """Return the weight of each query and key in each class, float32 ``[queries, end, classes]``."""
    distance = torch.arange(end - queries, end)[:, None] - torch.arange(end)
    # floor(log2) of an integer, exactly: the number of powers of 2 that do not exceed it.
    powers = 2 ** torch.arange(math.ceil(math.log2(length)))
    classes = 1 + (distance[..., None] >= powers).sum(dim=-1)
    classes[distance >= length] = classes_of(length) - 1
    classes[:, 0] = 0
    return torch.nn.functional.one_hot(classes, classes_of(length)).float() / queries
