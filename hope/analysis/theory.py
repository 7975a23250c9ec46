"""The decay of rotary kernels with distance, from their settings alone, without model or data."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope import config
from hope.analysis.columns import Columns, long_columns, stacked
from hope.catalogue import FAMILIES, family_settings
from hope.catalogue.spectra import bound_at_origin, far_kernel
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.registry import build_encoding
from hope.errors import UserError
from hope.tables import write_table

FARTHEST = 16
"""The farthest distance, in training lengths."""
EXACT = 2
"""Up to this many training lengths every distance is listed."""
DISTANCES_PER_OCTAVE = 256
"""Farther distances listed per octave."""
HEAD_DIMS_IN_USE, LENGTHS_IN_USE, BASES_IN_USE = (64, 128), (512, 1024, 2048, 4096, 8192), (1e4, 5e5)
"""Usual sizes of rotary models, all in ``kernel_sizes.parquet``."""
BASES = (1e3, 1e4, 1e5, 5e5, 1e6)
"""Bases at which the kernels of some families are listed: 10,000 is RoPE's own, 500,000 that of many models of long
contexts."""


def write_kernel(encodings: list[config.EncodingSpec], head_dim: int, length: int, output: Path) -> None:
    """Write ``kernel.parquet``, ``kernel_sweep.parquet`` and ``kernel_sizes.parquet``: the decay of logits in theory.

    One row per encoding and distance: ``value`` is the mean kernel, ``bound`` the bound by summation by parts
    (:func:`decay`). The first table holds the study's encodings; the second, the same for
    every study, RoPE and HoPE over a sweep of bases and all other families with a kernel; the third
    :func:`size_columns`.

    Args:
        encodings: rotary encodings.
        head_dim: dimension d of a head.
        length: the training length L.
        output: folder of the tables.
    """
    distance = distances(length)
    parts: list[Columns] = []
    for encoding in encodings:
        phasors = _built(encoding, head_dim, length).phasors(distance)
        assert phasors is not None, f"{encoding.name} is no rotary encoding"
        labels = {"encoding": np.array([encoding.name]), "distance": distance}
        parts.append(long_columns(labels, decay(phasors)))
    empty = {"encoding": np.array([], dtype=str), "distance": distance[:0], "value": np.empty(0), "bound": np.empty(0)}
    write_table(output / "kernel.parquet", stacked([empty, *parts]))
    write_table(output / "kernel_sweep.parquet", sweep_columns(head_dim, length))
    write_table(output / "kernel_sizes.parquet", size_columns())


def sweep_columns(head_dim: int, length: int) -> Columns:
    """Return the rows of ``kernel_sweep.parquet``; settings that do not fit the sizes are left out."""
    distance, parts = distances(length), []
    for family in FAMILIES.values():
        swept: list[dict[str, Any]] = [{"base": base} for base in BASES] if family.shades else [{}]
        for chosen in [] if family.given else swept:
            settings = family_settings(family.name, chosen)
            encoding = config.EncodingSpec(name=family.name, family=family.name, settings=settings)
            try:
                phasors = _built(encoding, head_dim, length).phasors(distance)
            except UserError:
                continue  # some encodings split a head in a way that few dimensions do not allow
            if phasors is not None:
                base = settings.get("base", np.nan)
                labels = {"encoding": np.array([family.name]), "base": np.array([base]), "distance": distance}
                parts.append(long_columns(labels, decay(phasors)))
    return stacked(parts)


def size_columns() -> Columns:
    """Return the rows of ``kernel_sizes.parquet``: RoPE and HoPE at the sizes in use, one row per size.

    ``rope_far`` and ``hope_far`` are the mean kernels over all whole distances from 8L to 16L, ``hope_floor`` is
    1 - 2K/d, and ``bound_gap`` the mean over D to L of the gap of the two summation bounds, relative to distance 0.
    """
    rows: list[dict[str, float]] = []
    for head_dim, length, base in itertools.product(HEAD_DIMS_IN_USE, LENGTHS_IN_USE, BASES_IN_USE):
        distance = np.arange(1, length + 1)
        far, bounds, kept = {}, {}, 0
        for name in ("rope", "hope"):
            spectrum = FAMILIES[name].spectrum_at({"base": base}, head_dim, length)
            assert spectrum is not None
            far[name] = far_kernel(spectrum.frequencies, length)
            bounds[name] = decay(np.exp(1j * distance[:, None] * np.array(spectrum.frequencies)))["bound"]
            kept = spectrum.kept
        gap = np.abs(bounds["hope"] - bounds["rope"]).mean()
        rows.append(
            {
                "head_dim": head_dim,
                "length": length,
                "base": base,
                "rope_far": far["rope"],
                "hope_far": far["hope"],
                "hope_floor": 1 - 2 * kept / head_dim,
                "bound_gap": gap / bound_at_origin(head_dim),
            }
        )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def distances(length: int) -> NDArray[np.int64]:
    """Return the distances listed: all from 1 to 2 L, then evenly spaced on a logarithmic scale to 16 L."""
    octaves = np.log2(FARTHEST / EXACT)
    far = np.geomspace(EXACT * length, FARTHEST * length, round(octaves * DISTANCES_PER_OCTAVE) + 1)
    return np.unique(np.concatenate([np.arange(1, EXACT * length + 1), far.round().astype(np.int64)]))


def _built(encoding: config.EncodingSpec, head_dim: int, length: int) -> Encoding:
    shape = EncodingShape(layers=1, width=head_dim, heads=1, kv_heads=1, head_dim=head_dim, length=length)
    return build_encoding(encoding, shape)


def decay(phasors: NDArray[np.complex128]) -> dict[str, NDArray[np.float64]]:
    """Return the mean kernel (``value``) and the summation bound (``bound``) at each distance.

    The mean kernel is ``g(D) = (2/d) sum_j cos(D theta_j)``: the logit of an equal query and key with the same entry in
    every component, relative to distance 0. A component of angle 0 adds 2/d at every distance. With K components that
    turn, the mean over far distances is 1 - 2K/d, HoPE's floor; RoPE's goes to 0.

    The summation bound is ``(2/d) sum_{i=1}^{d/2} |S_i|`` with ``S_i = sum_{j<i} exp(i D theta_j)``: the bound on a
    logit by summation by parts, up to a factor of the query and key (Su et al. 2021, section 3.4.3). It depends on the
    order of the components: here that of j, from fast to slow in RoPE and HoPE. At distance 0 it is
    :func:`hope.catalogue.spectra.bound_at_origin`.

    Args:
        phasors: ``exp(i D theta_j)``, ``[distances, components]``.
    """
    return {"value": phasors.real.mean(axis=1), "bound": np.abs(phasors.cumsum(axis=1)).mean(axis=1)}
