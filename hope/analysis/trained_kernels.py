"""The theoretical decay of a trained model's logits, with its own mean queries and keys in place of equal ones."""

import numpy as np
from numpy.typing import NDArray

from hope.analysis.columns import Axes, Columns, long_columns
from hope.analysis.components import Components
from hope.analysis.theory import FARTHEST

EVERY_DISTANCE_TO = 64
"""Every distance up to this one is listed."""
FAR_DISTANCES_PER_OCTAVE = 32
"""Farther distances listed per octave."""


def trained_kernel_columns(components: Components) -> Columns:
    """Return the rows of ``kernel_trained.parquet``: each head's mean kernel and its bound, from 1 to 16 L.

    With h_j the mean product of a head's query and key pairs before the rotation
    (:meth:`hope.analysis.components.Components.mean_pairs`), ``value`` is the logit of these mean pairs at distance D,
    ``Re sum_j h_j exp(i D theta_j)``; with all h_j equal and real it is the mean kernel g(D). It ignores that the
    tokens at a distance depend on the distance: the logits measured within L are the contributions of
    ``components.parquet``, summed over the components.

    ``bound`` is its bound by summation by parts, :func:`bound_by_parts`, never below ``|value|``.
    """
    pairs, distance = components.mean_pairs(), kernel_distances(components.length)
    phases = np.exp(1j * distance[:, None] * components.frequencies)
    axes: Axes = {
        "layer": components.layers,
        "head": range(components.scope.heads),
        "distance": distance,
    }
    return long_columns(axes, {"value": (pairs @ phases.T).real, "bound": bound_by_parts(pairs, phases)})


def bound_by_parts(pairs: NDArray[np.complex128], phases: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return ``max_j |h_{j+1} - h_j| sum_{i=1}^{d/2} |S_i|`` with ``S_i = sum_{j<i} exp(i D theta_j)``.

    Su et al. 2021, section 3.4.3. It depends on the order of the components: that of j, from fast to slow in
    RoPE and HoPE; h is 0 after the last.

    Args:
        pairs: h_j, ``[..., d/2]``.
        phases: ``exp(i D theta_j)``, ``[distances, d/2]``.

    Returns:
        ``[..., distances]``.
    """
    steps = np.abs(np.diff(pairs, axis=-1, append=0.0)).max(axis=-1)
    return steps[..., None] * np.abs(phases.cumsum(axis=1)).sum(axis=1)


def kernel_distances(length: int) -> NDArray[np.int64]:
    """Return the distances listed: all from 1 to 64, then evenly spaced on a logarithmic scale to 16 L."""
    last = FARTHEST * length
    far = np.geomspace(
        EVERY_DISTANCE_TO, last, max(2, round(np.log2(last / EVERY_DISTANCE_TO) * FAR_DISTANCES_PER_OCTAVE) + 1)
    )
    near = np.arange(1, min(EVERY_DISTANCE_TO, last) + 1)
    return np.unique(np.concatenate([near, far[far <= last].round().astype(np.int64), [last]]))
