"""Encodings that say so depend on distance alone, as far out as anyone reads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hope.catalogue import FAMILIES, PRESETS
from hope.encodings.base import EncodingShape
from hope.encodings.registry import build_encoding
from tests.encodings.logits_of import logits_of, named

SHAPE = EncodingShape(layers=2, width=64, heads=4, kv_heads=2, head_dim=16, length=64)
FARTHEST = 1_048_576
INVARIANT = [
    name
    for name in (*FAMILIES, *PRESETS)
    if FAMILIES[PRESETS[name].family if name in PRESETS else name].shift_invariant
]


def encoding_of(name: str):
    built = build_encoding(named(name), SHAPE)
    built.initialise(lambda parameter: torch.Generator().manual_seed(len(parameter)))
    return built


@pytest.mark.parametrize("name", INVARIANT)
@settings(deadline=None, max_examples=8)
@given(count=st.integers(2, 200), start=st.integers(1, FARTHEST), seed=st.integers(0, 1000))
def test_logits_depend_on_the_distance_alone(name, count, start, seed):
    built = encoding_of(name)
    start = min(start, FARTHEST + 1 - count)
    random = torch.Generator().manual_seed(seed)
    queries = torch.randn(1, 4, count, 16, generator=random)
    keys = torch.randn(1, 2, count, 16, generator=random)
    near, far = (logits_of(built, queries, keys, torch.arange(count) + first, layer=1) for first in (0, start))
    assert near.isfinite().equal(torch.ones(count, count, dtype=torch.bool).tril().expand_as(near))
    torch.testing.assert_close(near, far, atol=3e-5, rtol=1e-5)


@pytest.mark.parametrize("name", INVARIANT)
def test_the_longest_distance_is_finite(name):
    """The first token and the last of a million, without all those between them."""
    built = encoding_of(name)
    random = torch.Generator().manual_seed(0)
    queries = torch.randn(1, 4, 2, 16, generator=random)
    keys = torch.randn(1, 2, 2, 16, generator=random)
    logits = logits_of(built, queries, keys, torch.tensor([0, FARTHEST]))
    assert logits[..., 1, :].isfinite().all()
    assert not logits.isnan().any()


def test_those_that_are_said_to_depend_on_places_do():
    others = [name for name in FAMILIES if not FAMILIES[name].shift_invariant]
    assert "darope" in others and not {"rope", "hope", "xpos", "pope", "none", "alibi"} & set(others)
