"""What each frequency component of a rotary encoding adds to the logits, over distance."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hope.analysis.bins import bin_edges
from hope.analysis.stream import Observed, Scope
from hope.analysis.tables import Axes, Columns, long_columns

FINE_BINS = 64
"""Bins of width 1 at either end of a long training length; lengths of up to 256 have no others."""


class Components:
    """The mean logit contribution of component j, the pair of dimensions (j, j + d/2), over distance.

    A logit is the sum over components of ``scale * (q_j k_j + q_{j+d/2} k_{j+d/2})``, taken after the
    rotation. Means go over the documents and over the last queries within the training length. The
    first ``chosen_from`` documents are also kept apart, to choose components on them and test on others.
    """

    def __init__(self, scope: Scope, length: int, components: int, chosen_from: int) -> None:
        """Begin with nothing seen.

        Args:
            scope: what is looked at; one of the ends is ``length``.
            length: the training length L.
            components: half the dimension of a head.
            chosen_from: documents on which components are chosen, the first ones.
        """
        self.scope, self.length, self.chosen_from = scope, length, chosen_from
        self.edges = bin_edges(length, FINE_BINS)
        # Distances up to length - queries belong to every query, each farther one to one query less.
        pairs = np.minimum(scope.queries, length - np.arange(length))
        self.pairs = np.add.reduceat(pairs, self.edges[:-1])
        shape = scope.layers, scope.heads, components
        self.total = np.zeros((*shape, len(self.pairs)))
        self.centred, self.squared = np.zeros((2, *shape, len(self.pairs)))
        self.query_norm, self.key_norm = np.zeros((2, *shape))

    def add(self, seen: Observed) -> None:
        """Add the contributions of a batch, if it ends at the training length."""
        if seen.end != self.length:
            return
        keys = seen.keys.repeat_interleave(seen.queries.shape[1] // seen.keys.shape[1], dim=1)
        sums = _by_distance(seen.queries, keys) * seen.scale
        binned = np.add.reduceat(sums.cpu().numpy().astype(np.float64), self.edges[:-1], axis=2)
        binned = np.moveaxis(binned / self.pairs[:, None], 2, 3)
        self.total[seen.layer] += binned.sum(axis=0)
        early = binned[: max(0, self.chosen_from - seen.rows.start)]
        early = early - np.average(early, axis=-1, weights=self.widths, keepdims=True)
        self.centred[seen.layer] += early.sum(axis=0)
        self.squared[seen.layer] += (early**2).sum(axis=0)
        for norms, heads in ((self.query_norm, seen.queries), (self.key_norm, keys)):
            norms[seen.layer] += _pair_norms(heads).mean(dim=2).sum(dim=0).cpu().numpy()

    @property
    def widths(self) -> NDArray[np.int64]:
        """Distances in each bin."""
        return np.diff(self.edges)

    def contributions(self) -> NDArray[np.float64]:
        """Return the mean contribution ``[layers, heads, components, bins]``, in logits."""
        return self.total / self.scope.documents

    def spread(self) -> NDArray[np.float64]:
        """Return how far each component bends the logits over distance, ``[components]``, in logits.

        In each layer and head this is the standard deviation over the distances within L of the mean
        contribution, on the first ``chosen_from`` documents. The variance that the scatter of documents
        alone would give to such a mean is taken off (with two documents or more), so that a large but
        aimless component does not pass for one that knows distance. The spread is the mean of that over
        layers and heads.
        """
        number = self.chosen_from
        mean = self.centred / number
        variance = np.average(mean**2, axis=-1, weights=self.widths)
        if number > 1:
            scatter = (self.squared - number * mean**2) / (number - 1)
            variance = variance - np.average(scatter, axis=-1, weights=self.widths) / number
        return np.sqrt(np.maximum(variance, 0)).mean(axis=(0, 1))

    def columns(self, frequencies: NDArray[np.float64], activated: list[int]) -> Columns:
        """Return the rows of ``components.parquet``.

        Args:
            frequencies: theta_j, in radians a token, ``[components]``.
            activated: the components that :func:`activated_components` chose.
        """
        components = np.arange(len(frequencies))
        axes: Axes = {
            "layer": range(self.scope.layers),
            "head": range(self.scope.heads),
            "component": components,
            "distance": self.edges[:-1],
        }
        return long_columns(
            axes,
            {
                "contribution": self.contributions(),
                "query_norm": self.query_norm[..., None] / self.scope.documents,
                "key_norm": self.key_norm[..., None] / self.scope.documents,
                "frequency": frequencies[:, None],
                "kept": frequencies[:, None] != 0,
                "activated": np.isin(components, activated)[:, None],
                "spread": self.spread()[:, None],
                "distance_end": self.edges[1:],
            },
        )


def activated_components(
    spread: NDArray[np.float64], frequencies: NDArray[np.float64], share: float
) -> tuple[list[int], list[int]]:
    """Return the activated components and the other ones that turn, both in rising order.

    Of the components with a frequency, ``share`` of their number (rounded, at least one) with the
    largest spread are *activated*: they bend the logits over distance the most. They are at most half,
    so that as many others exist to compare with; of one turning component none is activated.
    """
    turning = [int(component) for component in np.flatnonzero(frequencies)]
    count = min(max(1, round(share * len(turning))), len(turning) // 2)
    by_spread = sorted(turning, key=lambda component: -spread[component])
    return sorted(by_spread[:count]), sorted(by_spread[count:])


def _by_distance(queries: Tensor, keys: Tensor) -> Tensor:
    """Return unscaled contributions summed over queries, ``[documents, heads, distances, components]``."""
    documents, heads, count, dim = queries.shape
    length = keys.shape[2]
    sums = torch.zeros(documents, heads, length, dim // 2, device=queries.device)
    backwards = keys.flip(2)
    for query in range(count):
        # Backwards, the key at distance 0 of this query comes after the keys later than it.
        later = count - 1 - query
        product = backwards[:, :, later:] * queries[:, :, query, None]
        sums[:, :, : length - later] += product.unflatten(-1, (2, dim // 2)).sum(dim=-2)
    return sums


def _pair_norms(heads: Tensor) -> Tensor:
    """Return the norm of each component's pair, ``[..., d/2]``, of vectors ``[..., d]``."""
    return heads.unflatten(-1, (2, heads.shape[-1] // 2)).norm(dim=-2)
