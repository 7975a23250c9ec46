"""Which settings coincide: other names, the same model."""

from collections.abc import Hashable

from hope import config
from hope.catalogue import FAMILIES
from hope.encodings.shape import EncodingShape

DIGITS = 12
"""Significant digits to which frequencies must agree: far past what float32 tells apart."""


def coinciding(encodings: list[config.EncodingSpec], shape: EncodingShape) -> dict[str, str]:
    """Return, for each encoding that equals an earlier one of the list, the name of the first such.

    Judged by what they do at these sizes: two rotations are equal when all their frequencies are, so that
    HoPE is p-RoPE at p = 2K/d and the hard clip of the d/2 - K slowest, cutoff 0 is RoPE, and a rotation
    of which nothing turns is no encoding at all. Others are equal when their family and settings are. An
    arm that trains on text alone equals only another such arm.
    """
    first: dict[Hashable, str] = {}
    same: dict[str, str] = {}
    for encoding in encodings:
        known = first.setdefault((encoding.text_only, _what_it_does(encoding, shape)), encoding.name)
        if known != encoding.name:
            same[encoding.name] = known
    return same


def _what_it_does(encoding: config.EncodingSpec, shape: EncodingShape) -> Hashable:
    family = FAMILIES.get(encoding.family)
    if family is not None and family.acts_on == "nothing":
        return ("0",) * (shape.head_dim // 2)
    spectrum = None if family is None else family.spectrum_at(encoding.settings, shape.head_dim, shape.length)
    if spectrum is not None:
        return tuple(f"{frequency:.{DIGITS}g}" for frequency in spectrum.frequencies)
    return encoding.family, repr(sorted(encoding.settings.items()))
