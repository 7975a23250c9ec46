"""Settings with different names that give the same model at given sizes."""

from collections.abc import Iterator
from typing import Any

from hope.catalogue import FAMILIES, NAMES, PRESETS, family_settings
from hope.config import EncodingSpec
from hope.encodings.identities import coinciding
from hope.encodings.listing import described
from hope.encodings.shape import EncodingShape


def identity_rows(shape: EncodingShape) -> Iterator[tuple[str, str]]:
    """Yield each set of settings that give the same model: the first of them, and the others.

    Compared are all families and presets, and settings of families that give HoPE, RoPE or no encoding.
    """
    listed = [_named(name) for name in NAMES]
    listed += [_filled(described(*one), *one) for one in candidates(shape)]
    same: dict[str, list[str]] = {}
    for name, first in coinciding(listed, shape).items():
        same.setdefault(first, []).append(name)
    for first, names in same.items():
        yield f"`{first}`", ", ".join(f"`{name}`" for name in names)


def candidates(shape: EncodingShape) -> list[tuple[str, dict[str, Any]]]:
    """Return families and settings that may coincide with others at these sizes."""
    return [
        (name, settings)
        for name, family in FAMILIES.items()
        for settings in family.aliases(shape.head_dim, shape.length)
    ]


def _named(name: str) -> EncodingSpec:
    if name in PRESETS:
        return _filled(name, PRESETS[name].family, PRESETS[name].settings)
    return _filled(name, name, {})


def _filled(name: str, family: str, settings: dict[str, Any]) -> EncodingSpec:
    return EncodingSpec(name=name, family=family, settings=family_settings(family, settings))
