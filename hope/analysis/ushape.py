"""How U-shaped attention is, document by document."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hope.analysis.columns import Axes, Columns, long_columns
from hope.analysis.stream import Observed, Scope

USHAPE_MEASURES = ("first", "first_without_sink", "near", "middle", "index", "index_without_sink")
FEWEST_KEYS = 16
"""Keys that a query must see for the regions to mean something."""


class UShape:
    """The U-shape index: a density contrast between the ends and the middle of the context.

    A query that sees n keys (its own position included) has the regions *first*, the n // 8 earliest
    keys; *near*, the n // 8 latest; and *middle*, the keys from n // 4 to n - n // 4. The density of a
    region is its attention mass, divided by its share of the keys: 1 everywhere under uniform attention.
    Then

        index = min(first, near) - middle

    is taken of each query of each document on its own, and only then the mean over the neighbouring queries
    of a group: queries that look at the first keys and others that look at the nearest would together make a
    U that none of them has. The index is 0 for uniform attention, negative where attention only decays with
    distance (the first region gets less than the middle), and positive for a U: both ends get more than the
    middle. Nothing bounds it by 1: all mass in the two ends, halved, gives 4. The smaller of two densities
    that scatter is below the smaller of their means: attention that scatters without a pattern lies somewhat
    below 0, the same model at its initialisation too.

    One first token often draws mass whatever it says (the attention sink of Xiao et al. 2023, arXiv
    2309.17453) and would make a U of any decay. *without_sink* therefore drops key 0: the softmax and
    the regions are those of the other n - 1 keys. The definition is this project's own.
    """

    def __init__(self, scope: Scope) -> None:
        """Begin with nothing seen."""
        self.scope = scope
        shape = 2, len(scope.ends), scope.layers, scope.heads, scope.documents, 4
        self.means = np.full(shape, np.nan)
        self._tables: dict[int, Tensor] = {}

    def add(self, seen: Observed) -> None:
        """Take in densities and indices of a batch, with key 0 and without."""
        where = self.scope.ends.index(seen.end), seen.layer, slice(None), seen.rows
        # Logits again, not weights divided by what key 0 leaves: that may have no digits left.
        rest = seen.logits[..., 1:].softmax(dim=-1)
        for sink, weights in enumerate((rest, seen.weights)):
            table = self._table(weights.shape[-1]).to(weights.device)
            densities = torch.einsum("bhqk,qkr->hbqr", weights, table)
            index = densities[..., :2].amin(dim=-1, keepdim=True) - densities[..., 2:]
            self.means[(sink, *where)] = torch.cat((densities, index), dim=-1).mean(dim=2).cpu().numpy()

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
    """Return what each key counts for in a query's density of the regions first, near and middle.

    Args:
        keys: keys of the last query; each query before it has one less.
        queries: neighbouring queries.

    Returns:
        float32 ``[queries, keys, 3]``.
    """
    table = torch.zeros(queries, keys, 3)
    for query in range(queries):
        seen = keys - queries + query + 1
        edge, quarter = max(1, seen // 8), seen // 4
        for region, (start, stop) in enumerate(((0, edge), (seen - edge, seen), (quarter, seen - quarter))):
            table[query, start:stop, region] = seen / (stop - start)
    return table
