"""What a stock format has to say of a spectrum, and which encodings are no plain rotation."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from hope.encodings.base import EncodingShape
from hope.encodings.rotary import Rotary, rope_frequencies
from hope.errors import UserError
from hope.interchange.rotation import (
    Prefix,
    frequency_factors,
    geometric_base,
    prefix_of,
    rotary_share,
    rotation_of,
)
from tests.encodings.logits_of import built

SHAPE = EncodingShape(layers=2, width=32, heads=2, kv_heads=1, head_dim=16, length=64)


@pytest.mark.parametrize(("head_dim", "kept"), [(88, 15), (100, 29)])
def test_the_share_that_loses_a_component_by_rounding_is_not_written(head_dim, kept):
    # What transformers computes of the obvious number, and of the one that is written.
    assert int(2 * kept / head_dim * head_dim // 2) == kept - 1
    share = rotary_share(head_dim, 2, kept)
    rope = {"rope_type": "proportional", "rope_theta": 10_000.0, "partial_rotary_factor": share}
    config = LlamaConfig(hidden_size=2 * head_dim, num_attention_heads=2, rope_parameters=rope)
    frequencies, _ = ROPE_INIT_FUNCTIONS["proportional"](config)
    assert int((frequencies > 0).sum()) == kept


@settings(max_examples=50)
@given(half=st.integers(1, 256), heads=st.integers(1, 130), data=st.data())
def test_the_share_gives_every_reader_all_components(half, heads, data):
    kept, dim = data.draw(st.integers(0, half)), 2 * half
    share = rotary_share(dim, heads, kept)
    assert int(share * dim // 2) == kept and int(dim * share) == 2 * kept
    assert abs(share - kept / half) < 1e-14


@settings(max_examples=50)
@given(
    half=st.integers(1, 128),
    base=st.floats(10.0, 1e8) | st.sampled_from([100.0, 10_000.0, 500_000.0]),
    data=st.data(),
)
def test_a_prefix_is_found_with_its_base(half, base, data):
    kept = data.draw(st.integers(0, half))
    frequencies = rope_frequencies(2 * half, base)
    frequencies[kept:] = 0
    prefix = prefix_of(frequencies)
    assert prefix is not None and prefix.kept == kept
    if kept > 1:
        assert prefix.base == pytest.approx(base, rel=1e-10)
        assert base not in (100.0, 10_000.0, 500_000.0) or prefix.base == base


def test_what_is_no_prefix_of_rope_is_none():
    whole = rope_frequencies(16, 10_000.0)
    assert prefix_of(whole) == Prefix(10_000.0, 8)
    band, slow, scaled, bent = (whole.clone() for _ in range(4))
    band[2:4] = 0
    slow[:4] = 0
    scaled /= 2
    bent[6] *= 1 + 1e-6
    for frequencies in (band, slow, scaled, bent):
        assert prefix_of(frequencies) is None


def test_every_second_component_is_a_geometric_sequence_of_its_own():
    whole = rope_frequencies(32, 10_000.0)
    assert geometric_base(whole[::2], 8) == 10_000.0
    assert geometric_base(whole[[0, 1, 3]], 3) is None
    assert geometric_base(whole[1:4], 3) is None


@settings(max_examples=50)
@given(
    half=st.integers(2, 64),
    base=st.sampled_from([500.0, 10_000.0, 1e6]),
    seed=st.integers(0, 1000),
)
def test_factors_divide_the_frequencies_of_a_base(half, base, seed):
    generator = torch.Generator().manual_seed(seed)
    whole = rope_frequencies(2 * half, base)
    frequencies = whole * (torch.rand(half, generator=generator) < 0.6)
    chosen, factors = frequency_factors(frequencies)
    turned = rope_frequencies(2 * half, chosen) / torch.tensor(factors, dtype=torch.float64)
    torch.testing.assert_close(turned, frequencies, rtol=1e-8, atol=1e-29)
    if (frequencies != 0).sum() > 1:
        assert factors.count(1.0) == (frequencies != 0).sum()


def test_a_plain_rotation_is_known_by_what_it_does():
    assert torch.equal(rotation_of(built("rope", SHAPE), "rope"), rope_frequencies(16, 10_000.0))
    assert torch.equal(rotation_of(built("none", SHAPE), "none"), torch.zeros(8, dtype=torch.float64))
    frequencies = torch.tensor([0.3, 0.0, 2.5, math.pi, 0.0, 1e-6, 0.7, 0.01], dtype=torch.float64)
    assert torch.equal(rotation_of(Rotary(SHAPE, frequencies), "any"), frequencies)


class Louder(Rotary):
    def rotate(self, queries, keys, prepared, hidden, layer):
        return super().rotate(2 * queries, keys, prepared, hidden, layer)


class Swinging(Rotary):
    def prepare(self, positions):
        return super().prepare(positions % 50)


class Late(Rotary):
    def rotate(self, queries, keys, prepared, hidden, layer):
        return super().rotate(queries, keys, prepared, hidden, layer) if layer == 0 else (queries, keys)


class Added(Rotary):
    def embed(self, embeddings, positions):
        return embeddings + 1


class Biased(Rotary):
    has_bias = True


def test_a_rotary_class_that_does_more_has_no_stock_form():
    for kind in (Louder, Swinging, Late, Added, Biased):
        with pytest.raises(UserError, match="encoding 'mine' does not rotate by angles linear in position"):
            rotation_of(kind(SHAPE, rope_frequencies(16, 1e4)), "mine")
