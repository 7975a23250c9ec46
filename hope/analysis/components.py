"""The contribution of each frequency component of a rotary encoding to the logits, over distance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hope.analysis.bins import bin_edges
from hope.analysis.columns import Axes, Columns, long_columns
from hope.analysis.pair_products import as_pairs, pair_products
from hope.analysis.stream import Observed, Scope

FINE_BINS = 64
"""Bins of width 1 at either end of a long training length; lengths of up to 256 have only such bins."""


class Components:
    """The mean logit contribution of component j, the pair of dimensions (j, j + d/2), over distance.

    A logit is the sum over components of ``scale * (q_j k_j + q_{j+d/2} k_{j+d/2})`` after the rotation. Means are
    over documents and over the last queries within the training length. The first ``chosen_from`` documents are also
    summed separately, so that components are chosen on them and tested on others.
    """

    def __init__(
        self,
        scope: Scope,
        frequencies: NDArray[np.float64],
        length: int,
        chosen_from: int,
        layers: Sequence[int] | None = None,
    ) -> None:
        """Start with no attention seen.

        Args:
            scope: the queries and documents; one of the ends is ``length``.
            frequencies: theta_j, in radians per token, ``[d/2]``.
            length: the training length L.
            chosen_from: number of leading documents on which components are chosen.
            layers: those whose queries and keys turn by these frequencies; None for all. Others are not measured.
        """
        self.scope, self.length, self.chosen_from = scope, length, chosen_from
        self.layers = list(range(scope.layers) if layers is None else layers)
        self.frequencies = frequencies
        self.edges = bin_edges(length, FINE_BINS)
        # Every query has the distances up to length - queries; each farther distance has one query less.
        pairs = np.minimum(scope.queries, length - np.arange(length))
        self.pairs = np.add.reduceat(pairs, self.edges[:-1])
        shape = len(self.layers), scope.heads, len(frequencies)
        self.total = np.zeros((*shape, len(self.pairs)))
        self.centred, self.squared = np.zeros((2, *shape, len(self.pairs)))
        self.query_norm, self.key_norm, self.covariance, self.early_covariance = np.zeros((4, *shape))
        self.turned_back = np.zeros(shape, dtype=np.complex128)
        self._back = np.exp(-1j * np.arange(length)[:, None] * frequencies)

    def add(self, seen: Observed) -> None:
        """Add the contributions of a batch, if it ends at the training length."""
        if seen.end != self.length or seen.layer not in self.layers:
            return
        assert seen.queries is not None and seen.keys is not None, "a model with a rotary encoding shows both"
        layer = self.layers.index(seen.layer)
        keys = seen.keys.repeat_interleave(seen.queries.shape[1] // seen.keys.shape[1], dim=1)
        products = pair_products(seen.queries, keys, seen.scale)
        sums = products.by_distance.cpu().numpy()
        self.turned_back[layer] += np.einsum("bhkc,kc->hc", sums, self._back)
        early_rows = slice(0, max(0, self.chosen_from - seen.rows.start))
        covariance = products.covariance.double().cpu().numpy()
        self.covariance[layer] += covariance.sum(axis=0)
        self.early_covariance[layer] += covariance[early_rows].sum(axis=0)
        binned = np.add.reduceat(sums.real.astype(np.float64), self.edges[:-1], axis=2)
        binned = np.moveaxis(binned / self.pairs[:, None], 2, 3)
        self.total[layer] += binned.sum(axis=0)
        early = binned[early_rows]
        early = early - np.average(early, axis=-1, weights=self.widths, keepdims=True)
        self.centred[layer] += early.sum(axis=0)
        self.squared[layer] += (early**2).sum(axis=0)
        for norms, heads in ((self.query_norm, seen.queries), (self.key_norm, keys)):
            norms[layer] += as_pairs(heads).abs().mean(dim=2).sum(dim=0).cpu().numpy()

    def sums(self) -> dict[str, NDArray]:
        """Return the arrays that :meth:`add` changes."""
        names = ("total", "centred", "squared", "query_norm", "key_norm", "covariance", "early_covariance")
        return {name: getattr(self, name) for name in (*names, "turned_back")}

    @property
    def widths(self) -> NDArray[np.int64]:
        """Distances in each bin."""
        return np.diff(self.edges)

    def contributions(self) -> NDArray[np.float64]:
        """Return the mean contribution ``[layers, heads, components, bins]``, in logits."""
        return self.total / self.scope.documents

    def variance_shares(self) -> NDArray[np.float64]:
        """Return each component's share of the logit variance, ``[layers, heads, components]``.

        The variance is over the keys of one query, because a constant over all keys does not change attention. It is
        the sum over components of the covariance of the contribution with the logit. A share is the mean of that
        covariance over queries and documents, divided by the sum of these means. Shares add up to 1; a share is
        negative where a component mostly counteracts the others. NaN where all logits of a head are equal.
        """
        return _shares(self.covariance)

    def chosen_shares(self) -> NDArray[np.float64]:
        """Return each component's share on the first ``chosen_from`` documents, mean over heads, ``[components]``.

        Heads whose logits are all equal are left out; 0 if there are no others.
        """
        shares = _shares(self.early_covariance).reshape(-1, len(self.frequencies))
        shares = shares[np.isfinite(shares).all(axis=1)]
        return shares.mean(axis=0) if len(shares) else np.zeros(len(self.frequencies))

    def mean_pairs(self) -> NDArray[np.complex128]:
        """Return the mean product of query and key pairs before the rotation, ``[layers, heads, components]``.

        Complex, in logits: h_j, such that a query and a key with these mean pairs have the logit
        ``Re sum_j h_j exp(i D theta_j)`` at distance D.
        """
        return self.turned_back / (self.pairs.sum() * self.scope.documents)

    def head_spreads(self) -> NDArray[np.float64]:
        """Return how far each component bends the logits over distance, ``[layers, heads, components]``, in logits.

        It is the standard deviation, over the distances within L, of the mean contribution on the first
        ``chosen_from`` documents. With two documents or more, the variance that such a mean has from the scatter
        between documents alone is subtracted, so that a large component without a pattern over distance does not
        count as one with a pattern.
        """
        number = self.chosen_from
        mean = self.centred / number
        variance = np.average(mean**2, axis=-1, weights=self.widths)
        if number > 1:
            scatter = (self.squared - number * mean**2) / (number - 1)
            variance = variance - np.average(scatter, axis=-1, weights=self.widths) / number
        return np.sqrt(np.maximum(variance, 0))

    def spread(self) -> NDArray[np.float64]:
        """Return the mean of :meth:`head_spreads` over layers and heads, ``[components]``, in logits."""
        return self.head_spreads().mean(axis=(0, 1))

    def columns(self, activated: list[int]) -> Columns:
        """Return the rows of ``components.parquet``.

        Args:
            activated: the components that :func:`hope.analysis.activation.activated_components` chose.
        """
        components = np.arange(len(self.frequencies))
        axes: Axes = {
            "layer": self.layers,
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
                "variance_share": self.variance_shares()[..., None],
                "frequency": self.frequencies[:, None],
                "turns": turns(self.frequencies, self.length)[:, None],
                "kept": self.frequencies[:, None] != 0,
                "activated": np.isin(components, activated)[:, None],
                "spread": self.spread()[:, None],
                "distance_end": self.edges[1:],
            },
        )


def turns(frequencies: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return the number of turns of each component within the training length: 1 at HoPE's cutoff, 2 pi / L."""
    return frequencies * length / (2 * np.pi)


def _shares(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return covariances over their sum along the last axis; NaN where that is 0."""
    whole = covariance.sum(axis=-1, keepdims=True)
    return np.divide(covariance, whole, out=np.full_like(covariance, np.nan), where=whole > 0)
