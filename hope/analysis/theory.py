"""The decay of rotary kernels with distance, from their frequencies alone: no model, no data."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hope import config
from hope.analysis.tables import Columns, long_columns, stacked
from hope.encodings.base import EncodingShape
from hope.encodings.registry import build_encoding
from hope.encodings.rotary import Rotary
from hope.tables import write_table

FARTHEST = 16
"""Distances end at this many training lengths."""
EXACT = 2
"""Up to this many training lengths every distance is listed."""
DISTANCES_PER_OCTAVE = 256
"""How many of the farther distances are listed."""


def write_kernel(encodings: list[config.Encoding], head_dim: int, length: int, output: Path) -> None:
    """Write ``kernel.parquet``: how the logits of rotary encodings decay by theory.

    One row an encoding and distance: ``value`` is :func:`mean_kernel`, ``bound`` is
    :func:`summation_bound`.

    Args:
        encodings: rotary encodings.
        head_dim: dimension d of a head.
        length: the training length L.
        output: folder of the table.
    """
    distance = distances(length)
    parts: list[Columns] = []
    for encoding in encodings:
        frequencies = encoding_frequencies(encoding, head_dim, length)
        values = {"value": mean_kernel(frequencies, distance), "bound": summation_bound(frequencies, distance)}
        parts.append(long_columns({"encoding": np.array([encoding.name]), "distance": distance}, values))
    empty = {"encoding": np.array([], dtype=str), "distance": distance[:0], "value": np.empty(0), "bound": np.empty(0)}
    write_table(output / "kernel.parquet", stacked([empty, *parts]))


def distances(length: int) -> NDArray[np.int64]:
    """Return the distances listed: all from 1 to 2 L, then evenly on a logarithmic scale to 16 L."""
    octaves = np.log2(FARTHEST / EXACT)
    far = np.geomspace(EXACT * length, FARTHEST * length, round(octaves * DISTANCES_PER_OCTAVE) + 1)
    return np.unique(np.concatenate([np.arange(1, EXACT * length + 1), far.round().astype(np.int64)]))


def encoding_frequencies(encoding: config.Encoding, head_dim: int, length: int) -> NDArray[np.float64]:
    """Return the frequencies theta_j of a rotary encoding, in radians a token, ``[head_dim / 2]``."""
    shape = EncodingShape(layers=1, width=head_dim, heads=1, kv_heads=1, head_dim=head_dim, length=length)
    built = build_encoding(encoding, shape)
    assert isinstance(built, Rotary), f"{encoding.name} is no rotary encoding"
    return built.frequencies.numpy()


def mean_kernel(frequencies: NDArray[np.float64], distance: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``g(D) = (2/d) sum_j cos(D theta_j)`` for each distance.

    The logit of a query and a key that are equal and the same in every component, relative to distance
    0. A component of angle 0 gives 2/d at every distance: with K components that turn, the mean over
    far distances is 1 - 2K/d, HoPE's floor, where RoPE's goes to 0.
    """
    return np.cos(distance[:, None] * frequencies).mean(axis=1)


def summation_bound(frequencies: NDArray[np.float64], distance: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``(2/d) sum_{i=1}^{d/2} |S_i|``, ``S_i = sum_{j<i} exp(i D theta_j)``, for each distance.

    The bound on a logit by summation by parts, up to a factor that the query and key give (Su et al.
    2021, section 3.4.3). It depends on the order of the components, here from fast to slow as in RoPE.
    At distance 0 it is (d/2 + 1) / 2.
    """
    partial_sums = np.exp(1j * distance[:, None] * frequencies).cumsum(axis=1)
    return np.abs(partial_sums).mean(axis=1)
