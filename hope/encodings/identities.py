"""Settings that coincide: different names for the same model."""

from collections.abc import Hashable

from hope import config
from hope.catalogue import FAMILIES
from hope.encodings.shape import EncodingShape

DIGITS = 12
"""Significant digits to which frequencies must agree: more than float32 holds."""


def coinciding(encodings: list[config.EncodingSpec], shape: EncodingShape) -> dict[str, str]:
    """Return the encodings that equal an earlier one of the list, each with the name of the first such one.

    At these sizes two rotations are equal if all their frequencies are: HoPE equals p-RoPE at p = 2K/d and the hard
    clip of the d/2 - K slowest components, cutoff 0 equals RoPE, and a rotation in which nothing turns equals no
    encoding. Others are equal if their family and settings are. An encoding trained on text alone equals only
    another one trained so.
    """
    first: dict[Hashable, str] = {}
    same: dict[str, str] = {}
    for encoding in encodings:
        known = first.setdefault((encoding.text_only, _effect(encoding, shape)), encoding.name)
        if known != encoding.name:
            same[encoding.name] = known
    return same


def _effect(encoding: config.EncodingSpec, shape: EncodingShape) -> Hashable:
    family = FAMILIES.get(encoding.family)
    if family is not None and family.acts_on == "nothing":
        return ("0",) * (shape.head_dim // 2)
    spectrum = None if family is None else family.spectrum_at(encoding.settings, shape.head_dim, shape.length)
    if spectrum is not None:
        return tuple(f"{frequency:.{DIGITS}g}" for frequency in spectrum.frequencies)
    return encoding.family, repr(sorted(encoding.settings.items()))
