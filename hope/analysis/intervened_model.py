"""A model with some of its frequency components changed: stopped, made the same for all tokens, or taken away.

What a component adds to a logit depends on the distance, through its angle, and on the two tokens, through
their queries and keys. Three changes take the two apart:

- ``freeze``: angle 0 at every position. What it says of the tokens stays, what it says of the distance goes.
- ``mean``: its mean contribution at each distance, the same for all tokens. The other way about.
- ``remove``: nothing. Both go.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from hope.analysis.pair_products import as_pairs
from hope.encodings.base import Encoding
from hope.encodings.rotary import Rotary
from hope.model.attention import LayerEncoding
from hope.model.bounded_passes import row_slices
from hope.model.decoder import Decoder

Mode = Literal["freeze", "mean", "remove"]
MODES: tuple[Mode, ...] = ("freeze", "mean", "remove")
REACH = 2
"""Interventions are looked at over so many training lengths."""


class Stripped(Encoding):
    """A rotary encoding some of whose components add nothing to the logits, or their means at each distance."""

    def __init__(self, encoding: Rotary, chosen: Sequence[int], means: Tensor | None = None) -> None:
        """Keep the encoding, the components, and what takes their place, ``[layers, heads, distances]``, in logits."""
        super().__init__(encoding.shape)
        assert not encoding.has_bias and not encoding.has_logits, "logits must be the inner products alone"
        self.encoding = encoding
        pairs = torch.ones(2, encoding.shape.head_dim // 2)
        pairs[:, list(chosen)] = 0.0
        self.kept = pairs.flatten()
        self.has_bias = means is not None
        self.means = means

    def prepare(self, positions: Tensor) -> Any:
        """Return what the encoding itself prepares."""
        return self.encoding.prepare(positions)

    def rotate(self, queries: Tensor, keys: Tensor, prepared: Any, hidden: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return queries and keys of the encoding itself, the components' pairs of the queries set to 0."""
        queries, keys = self.encoding.rotate(queries, keys, prepared, hidden, layer)
        return queries * self.kept.to(queries), keys

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the mean contribution at each distance; that of 0 where the key comes after the query."""
        assert self.means is not None
        return self.means[layer, heads, (queries - keys).clamp(min=0)]


@contextmanager
def intervened(model: Decoder, chosen: Sequence[int], mode: Mode, means: Tensor | None = None) -> Iterator[None]:
    """Change components of a model within the block.

    Args:
        model: a model with a rotary encoding.
        chosen: indices of the components, the pairs of dimensions (j, j + d/2) of every head.
        mode: what becomes of them.
        means: for ``mean``, what takes their place: float32 ``[layers, heads, distances]``
            (:func:`mean_contributions`), of as many distances as will be met.
    """
    encoding = model.encoding
    assert isinstance(encoding, Rotary) and (mode == "mean") == (means is not None)
    if mode == "freeze":
        frequencies = encoding.frequencies.clone()
        frequencies[list(chosen)] = 0.0
        with encoding.replaced(frequencies):
            yield
        return
    model.encoding = Stripped(encoding, chosen, means)
    try:
        yield
    finally:
        model.encoding = encoding


@torch.inference_mode()
def mean_contributions(model: Decoder, tokens: Tensor, sets: Sequence[Sequence[int]]) -> Tensor:
    """Return what sets of components add to the logits at each distance, the mean over documents and pairs of tokens.

    Means at distances below L are those of all queries within L, as in training; at a distance from L on,
    those of all queries up to 2 L that have it.

    Args:
        model: a model with a rotary encoding, of training length L.
        tokens: int64 ``[documents, tokens]``; none is read past 2 L.
        sets: indices of the components of each set.

    Returns:
        float32 ``[sets, layers, heads, distances]``, in logits, on the model's device; one distance a token read.
    """
    length, shape, device = model.training_length, model.shape, next(model.parameters()).device
    tokens = tokens[:, : REACH * length]
    reach = tokens.shape[1]
    member = torch.zeros(len(sets), shape.head_dim // 2, device=device)
    for row, chosen in enumerate(sets):
        member[row, list(chosen)] = 1.0
    sums = torch.zeros(len(sets), shape.layers, shape.heads, reach, device=device)

    def add(layer: int, queries: Tensor, keys: Tensor, layer_encoding: LayerEncoding) -> None:
        keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)
        for start, stop in ((0, min(length, reach)), (length, reach)):
            if start < stop:
                contributions = by_distance(queries[:, :, :stop], keys[:, :, :stop])[:, start:]
                sums[:, layer, :, start:stop] += torch.einsum("sc,hkc->shk", member, contributions)

    for rows in row_slices(len(tokens), reach, device, "mean contributions"):
        model(tokens[rows].to(device), observe=add)
    distance = torch.arange(reach, device=device)
    pairs = torch.where(distance < length, min(length, reach), reach) - distance
    return sums * (shape.head_dim**-0.5 / len(tokens)) / pairs


def by_distance(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the sums, over documents and all pairs at each distance, of the products of every component.

    A correlation of two sequences of complex numbers, by the fast Fourier transform: time grows with
    tokens times their logarithm, and no L x L map is held.

    Args:
        queries: ``[documents, heads, tokens, d]``.
        keys: the same, one for every query head.

    Returns:
        float32 ``[heads, distances, d/2]``, unscaled.
    """
    count = queries.shape[2]
    of_queries, of_keys = (torch.fft.fft(as_pairs(one), n=2 * count, dim=2) for one in (queries, keys))
    products = (of_queries * of_keys.conj()).sum(dim=0)
    return torch.fft.ifft(products, dim=1).real[:, :count]
