"""A model with some of its frequency components changed: frozen, averaged over tokens, or removed.

The contribution of a component to a logit depends on the distance, through its angle, and on the two tokens, through
their queries and keys. Three interventions separate the two:

- ``freeze``: angle 0 at every position. The contribution depends on the tokens alone.
- ``mean``: its mean contribution at each distance. It depends on the distance alone.
- ``remove``: no contribution.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from hope.analysis.pair_products import as_pairs
from hope.encodings.base import Encoding
from hope.encodings.rotary import Rotary
from hope.model.attention import LayerAttention, LayerWeights
from hope.model.bounded_passes import row_slices
from hope.model.language_model import LanguageModel

Mode = Literal["freeze", "mean", "remove"]
MODES: tuple[Mode, ...] = ("freeze", "mean", "remove")
REACH = 2
"""Interventions are measured up to this many training lengths."""


class Stripped(Encoding):
    """A rotary encoding with some components removed from the logits, or replaced by their means at each distance."""

    def __init__(self, encoding: Rotary, chosen: Sequence[int], means: Tensor | None = None) -> None:
        """Store the encoding, the components, and their replacement, ``[layers, heads, distances]``, in logits."""
        super().__init__(encoding.shape)
        assert not encoding.has_bias and not encoding.has_logits, "logits must be the inner products alone"
        self.encoding = encoding
        pairs = torch.ones(2, encoding.shape.head_dim // 2)
        pairs[:, list(chosen)] = 0.0
        self.kept = pairs.flatten()
        self.has_bias = means is not None
        self.means = means

    def prepare(self, positions: Tensor) -> Any:
        """Return what the wrapped encoding prepares."""
        return self.encoding.prepare(positions)

    def rotate(self, queries: Tensor, keys: Tensor, prepared: Any, hidden: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Return the wrapped encoding's queries and keys, with the components' pairs of the queries set to 0."""
        queries, keys = self.encoding.rotate(queries, keys, prepared, hidden, layer)
        return queries * self.kept.to(queries), keys

    def bias(self, heads: Tensor, queries: Tensor, keys: Tensor, layer: int) -> Tensor:
        """Return the mean contribution at each distance; for a key after the query, that of distance 0."""
        assert self.means is not None
        return self.means[layer, heads, (queries - keys).clamp(min=0)]


@contextmanager
def intervened(model: LanguageModel, chosen: Sequence[int], mode: Mode, means: Tensor | None = None) -> Iterator[None]:
    """Change components of a model within the block.

    Args:
        model: a model with a rotary encoding.
        chosen: indices of the components, the pairs of dimensions (j, j + d/2) of every head.
        mode: the intervention.
        means: for ``mean``, their replacement: float32 ``[layers, heads, distances]``
            (:func:`mean_contributions`), with every distance that the model will meet.
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
def mean_contributions(model: LanguageModel, tokens: Tensor, sets: Sequence[Sequence[int]]) -> Tensor:
    """Return the contribution of sets of components to the logits at each distance, mean over documents and pairs.

    At distances below L the mean is over all queries within L, as in training; from L on, over all queries up to 2 L
    that have the distance.

    Args:
        model: a model with a rotary encoding, of training length L.
        tokens: int64 ``[documents, tokens]``; those past 2 L are not read.
        sets: indices of the components of each set.

    Returns:
        float32 ``[sets, layers, heads, distances]``, in logits, on the model's device; one distance per token read.
        Layers that the encoding does not turn have 0.
    """
    length, shape, device = model.training_length, model.shape, model.device
    tokens = tokens[:, : REACH * length]
    reach = tokens.shape[1]
    member = torch.zeros(len(sets), shape.head_dim // 2, device=device)
    for row, chosen in enumerate(sets):
        member[row, list(chosen)] = 1.0
    sums = torch.zeros(len(sets), shape.layers, shape.heads, reach, device=device)

    def add(attention: LayerAttention | LayerWeights) -> None:
        if attention.layer not in model.turned_layers:
            return
        assert isinstance(attention, LayerAttention)
        queries, keys = attention.queries, attention.keys
        keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)
        for start, stop in ((0, min(length, reach)), (length, reach)):
            if start < stop:
                contributions = by_distance(queries[:, :, :stop], keys[:, :, :stop])[:, start:] * attention.scale
                sums[:, attention.layer, :, start:stop] += torch.einsum("sc,hkc->shk", member, contributions)

    for rows in row_slices(len(tokens), reach, device, "mean contributions"):
        model(tokens[rows].to(device), observe=add)
    distance = torch.arange(reach, device=device)
    pairs = torch.where(distance < length, min(length, reach), reach) - distance
    return sums / len(tokens) / pairs


def by_distance(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the product of every component, summed over documents and over all pairs at each distance.

    It is a correlation of two complex sequences, computed by the fast Fourier transform: time grows as tokens times
    their logarithm, and no L x L map is held.

    Args:
        queries: ``[documents, heads, tokens, d]``.
        keys: the same shape, one for every query head.

    Returns:
        float32 ``[heads, distances, d/2]``, unscaled.
    """
    count = queries.shape[2]
    of_queries, of_keys = (torch.fft.fft(as_pairs(one), n=2 * count, dim=2) for one in (queries, keys))
    products = (of_queries * of_keys.conj()).sum(dim=0)
    return torch.fft.ifft(products, dim=1).real[:, :count]
