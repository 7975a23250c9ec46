"""Measures of formulas: from a rotary encoding's frequencies alone, without any model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hope.catalogue import FAMILIES
from hope.catalogue.spectra import bound_at_origin, far_kernel
from hope.measures.measure import Settings, Source, measure

if TYPE_CHECKING:
    from pandas import DataFrame

    from hope.config import Arm

KERNEL = Source("theory", "kernel")
FORMULA: Settings = {"source": KERNEL, "scale": "of 1", "unit": "formula", "compared": False}


def _gap(table: DataFrame, arm: Arm, encoding: str, column: str) -> float | None:
    """Return the mean gap within L between an encoding's curve and RoPE's; None for RoPE itself or without RoPE."""
    if encoding == "rope" or column not in table:
        return None
    within = table[table["distance"] <= arm.training.length].set_index("distance")
    reference = within[within["encoding"] == "rope"][column]
    return float((within[within["encoding"] == encoding][column] - reference).abs().mean()) if len(reference) else None


@measure("kernel from 8L to 16L", **FORMULA)
def kernel_far(table: DataFrame | None, arm: Arm, encoding: str) -> float | None:
    """Mean kernel g(D) over all whole distances D from 8L to 16L.

    It is computed from the frequencies that models are built with: the table lists only some of these distances.
    """
    spectrum = arm.spectrum(encoding)
    return None if spectrum is None else far_kernel(spectrum.frequencies, arm.training.length)


@measure("floor of the kernel", **FORMULA)
def kernel_floor(table: DataFrame | None, arm: Arm, encoding: str) -> float | None:
    """Share 1 - 2K/d of the components that do not turn, K being those that do, where the family has a formula.

    The formula does not use the model's frequencies, so that it is an independent check of the kernel computed from
    them.
    """
    definition = arm.encoding(encoding)
    family = FAMILIES.get(definition.family)
    if family is None:
        return None
    return family.floor(family.settings(**definition.settings), arm.model.head_dim, arm.training.length)


@measure("gap of the kernels within L", **FORMULA)
def kernel_gap_within(table: DataFrame, arm: Arm, encoding: str) -> float | None:
    """Mean over D to L of |g(D) - g(D) of rope|."""
    return _gap(table, arm, encoding, "value")


@measure("gap of the bounds within L", **FORMULA)
def bound_gap_within(table: DataFrame, arm: Arm, encoding: str) -> float | None:
    """Mean over D to L of |B(D) - B(D) of rope| / B(0), B the summation bound."""
    gap = _gap(table, arm, encoding, "bound")
    return None if gap is None else gap / bound_at_origin(arm.model.head_dim)


SIZES: Settings = FORMULA | {"source": Source("theory", "kernel_sizes")}
"""Of measures over all sizes in use: the worst size counts."""


@measure("largest mean gap between kernel and floor, over sizes", **SIZES)
def worst_floor_gap(table: DataFrame, arm: Arm, encoding: str) -> float | None:
    """Largest gap, over the sizes in use, between HoPE's floor and the mean of its kernel over all D from 8L to 16L."""
    return float((table["hope_far"] - table["hope_floor"]).abs().max()) if encoding == "hope" else None


@measure("smallest mean rise above RoPE's kernel, over sizes", **SIZES)
def worst_rise_above_rope(table: DataFrame, arm: Arm, encoding: str) -> float | None:
    """Smallest rise, over the sizes in use, of HoPE's kernel above RoPE's, both means over all D from 8L to 16L."""
    return float((table["hope_far"] - table["rope_far"]).min()) if encoding == "hope" else None


@measure("largest mean gap of the bounds within L, over sizes", **SIZES)
def worst_bound_gap(table: DataFrame, arm: Arm, encoding: str) -> float | None:
    """Largest mean gap, over the sizes in use, between the summation bounds of HoPE and RoPE within L."""
    return float(table["bound_gap"].max()) if encoding == "hope" else None
