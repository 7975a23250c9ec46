"""Settings of different names that are the same model, found at given sizes."""

from collections.abc import Iterator
from typing import Any

from hope.catalogue import NAMES, PRESETS, family_settings
from hope.catalogue.spectra import hope
from hope.config import Encoding
from hope.encodings.identities import coinciding
from hope.encodings.listing import described
from hope.encodings.shape import EncodingShape


def identity_rows(shape: EncodingShape) -> Iterator[tuple[str, str]]:
    """Yield what coincides with another: the first of each set, and the others.

    Compared are all families and presets, and settings that are other names of HoPE, of RoPE and of no encoding.
    """
    listed = [_named(name) for name in NAMES] + [_with(*one) for one in candidates(shape)]
    same: dict[str, list[str]] = {}
    for name, first in coinciding(listed, shape).items():
        same.setdefault(first, []).append(name)
    for first, names in same.items():
        yield f"`{first}`", ", ".join(f"`{name}`" for name in names)


def candidates(shape: EncodingShape) -> list[tuple[str, dict[str, Any]]]:
    """Return families and settings that coincide with others at these sizes, or might."""
    half = shape.head_dim // 2
    kept = hope(shape.head_dim, shape.length).kept
    return [
        ("p_rope", {"p": kept / half}),
        ("clipped_rope", {"kind": "hard", "count": half - kept}),
        ("hope", {"freeze": "listed", "components": list(range(kept, half))}),
        ("hope", {"freeze": "band", "band": [0.0, 1.0]}),
        ("hope", {"cutoff": 0.0}),
        ("p_rope", {"p": 1.0}),
        ("partial_rope", {"share": 1.0}),
        ("clipped_rope", {"kind": "soft", "count": 0}),
        ("rope", {"base": 20.0}),
        ("hope", {"base": 20.0}),
        ("hope", {"cutoff": 1e9}),
        ("p_rope", {"p": 0.0}),
        ("rotary", {"multipliers": [0.0] * half}),
    ]


def _named(name: str) -> Encoding:
    if name in PRESETS:
        return _filled(name, PRESETS[name].family, PRESETS[name].settings)
    return _filled(name, name, {})


def _with(family: str, settings: dict[str, Any]) -> Encoding:
    return _filled(described(family, settings), family, settings)


def _filled(name: str, family: str, settings: dict[str, Any]) -> Encoding:
    return Encoding(name=name, family=family, settings=family_settings(family, settings))
