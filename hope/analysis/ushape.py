"""The U-shape index of attention, per document."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hope.analysis.columns import Axes, Columns, long_columns
from hope.analysis.stream import Observed, Scope

USHAPE_MEASURES = ("first", "first_without_sink", "near", "middle", "index", "index_without_sink")
END_SHARE, MIDDLE_MARGIN = 8, 4
"""The regions *first* and *near* are one eighth of the keys each; *middle* begins and ends a quarter from either end.

These are this project's choices: the paper speaks of "a local-decay pattern while forming a U-shape pattern globally"
(abstract) and gives no regions. An eighth is local beside the whole (the nearest 16 of 128 keys) and yet wide enough
that a mean over it does not depend on single tokens. Half of the keys are the middle. The eighth between an end and
the middle is in neither, so that a decay a little wider than the end does not lift the middle. The sign does not
depend on these shares: attention that only falls with distance has an index of at most 0 at any of them.
"""
FEWEST_KEYS = 2 * END_SHARE + 1
"""Fewest keys of a query: each end then has 2 keys, also without the first key; with fewer it would be a single one."""


class UShape:
    """The U-shape index: a density contrast between the ends and the middle of the context.

    A query that sees n keys (its own position included) has the regions *first*, the n // 8 earliest keys; *near*,
    the n // 8 latest; and *middle*, the keys from n // 4 to n - n // 4 (:data:`END_SHARE`). The density of a region
    is its attention mass divided by its share of the keys: 1 everywhere under uniform attention. The index

        min(first, near) - middle

    is computed per query and document, and then averaged over the neighbouring queries of a group: averaging the
    densities first would make a U of queries that look at the first keys and others that look at the nearest.

    The index is 0 for uniform attention, negative where attention only decays with distance (first gets less than
    middle), and positive for a U, where both ends get more than the middle. It is not bounded by 1: with half of the
    mass in each end it is 4. The smaller of two noisy densities lies below the smaller of their means, so attention
    without a pattern has an index somewhat below 0, a model at its initialisation too.

    The first token often draws mass whatever it is (the attention sink of Xiao et al. 2023, arXiv 2309.17453), and
    would turn any decay into a U. *without_sink* therefore drops key 0: softmax and regions are those of the other
    n - 1 keys. The definition is this project's own.
    """

    def __init__(self, scope: Scope) -> None:
        """Start with no attention seen."""
        self.scope = scope
        shape = 2, len(scope.ends), scope.layers, scope.heads, scope.documents, 4
        self.means = np.full(shape, np.nan)
        self._tables: dict[int, Tensor] = {}

    def add(self, seen: Observed) -> None:
        """Store densities and indices of a batch, with key 0 and without."""
        where = self.scope.ends.index(seen.end), seen.layer, slice(None), seen.rows
        # The softmax again, not weights over 1 minus that of key 0: the difference may have no digits left.
        rest = seen.logits[..., 1:].softmax(dim=-1)
        for sink, weights in enumerate((rest, seen.weights)):
            table = self._table(weights.shape[-1]).to(weights.device)
            densities = torch.einsum("bhqk,qkr->hbqr", weights, table)
            index = densities[..., :2].amin(dim=-1, keepdim=True) - densities[..., 2:]
            self.means[(sink, *where)] = torch.cat((densities, index), dim=-1).mean(dim=2).cpu().numpy()

    def sums(self) -> dict[str, NDArray]:
        """Return the arrays that :meth:`add` changes."""
        return {"means": self.means}

    def _table(self, keys: int) -> Tensor:
        if keys not in self._tables:
            self._tables[keys] = region_table(keys, self.scope.queries)
        return self._tables[keys]

    def measures(self) -> dict[str, NDArray[np.float64]]:
        """Return the measures by name, each ``[ends, layers, heads, documents]``."""
        first, near, middle, index = np.moveaxis(self.means[1], -1, 0)
        first_rest, _, _, index_rest = np.moveaxis(self.means[0], -1, 0)
        return dict(zip(USHAPE_MEASURES, (first, first_rest, near, middle, index, index_rest), strict=True))

    def columns(self, subject: str, documents: NDArray[np.int64]) -> Columns:
        """Return the rows of ``ushape.parquet``; ``documents`` are the documents' numbers."""
        axes: Axes = {
            "subject": [subject],
            "query": [end - 1 for end in self.scope.ends],
            "layer": range(self.scope.layers),
            "head": range(self.scope.heads),
            "document": documents,
        }
        return long_columns(axes, {name: value[None] for name, value in self.measures().items()})


def region_table(keys: int, queries: int) -> Tensor:
    """Return the weight of each key in a query's densities of the regions first, near and middle.

    Args:
        keys: keys of the last query; each earlier query has one key less.
        queries: neighbouring queries.

    Returns:
        float32 ``[queries, keys, 3]``.
    """
    table = torch.zeros(queries, keys, 3)
    for query in range(queries):
        seen = keys - queries + query + 1
        edge, margin = max(1, seen // END_SHARE), seen // MIDDLE_MARGIN
        for region, (start, stop) in enumerate(((0, edge), (seen - edge, seen), (margin, seen - margin))):
            table[query, start:stop, region] = seen / (stop - start)
    return table
