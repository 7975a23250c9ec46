"""RoPE and HoPE against formulas worked elsewhere."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from hope.encodings.base import EncodingShape
from hope.encodings.rotary import rope_frequencies
from hope.errors import UserError
from tests.encodings.logits_of import built


def shape(head_dim: int = 16, length: int = 64) -> EncodingShape:
    return EncodingShape(layers=1, width=2 * head_dim, heads=2, kv_heads=2, head_dim=head_dim, length=length)


@pytest.mark.parametrize(
    ("head_dim", "length", "base", "kept"),
    [
        (64, 512, 1e4, 16),
        (64, 1024, 1e4, 18),
        (64, 2048, 1e4, 21),
        (64, 4096, 1e4, 23),
        (128, 4096, 1e4, 46),
        (64, 4096, 5e5, 16),
        (128, 4096, 5e5, 32),
    ],
)
def test_hope_keeps_the_components_that_turn_within_the_window(head_dim, length, base, kept):
    frequencies = built("hope", shape(head_dim, length), base=base).frequencies
    assert int((frequencies > 0).sum()) == kept
    assert torch.equal(frequencies[:kept], rope_frequencies(head_dim, base)[:kept])
    assert not frequencies[kept:].any()


@pytest.mark.parametrize("base", [100.0, 10_000.0, 500_000.0])
def test_rope_equals_transformers(base):
    head_dim, tokens = 16, 40
    stock = LlamaConfig(
        hidden_size=2 * head_dim,
        num_attention_heads=2,
        head_dim=head_dim,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 3, 2, tokens, head_dim)
    positions = torch.arange(tokens)
    cosine, sine = LlamaRotaryEmbedding(stock)(queries, positions[None])
    expected = apply_rotary_pos_emb(queries, keys, cosine, sine)
    rope = built("rope", shape(head_dim), base=base)
    found = rope.rotate(queries, keys, rope.prepare(positions), queries, 0)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)


def test_hope_with_cutoff_zero_is_rope_and_with_a_huge_one_has_no_positions():
    frequencies = {cutoff: built("hope", shape(32, 128), cutoff=cutoff).frequencies for cutoff in (0.0, 1e9)}
    assert torch.equal(frequencies[0.0], rope_frequencies(32, 1e4))
    assert not frequencies[1e9].any()


@settings(deadline=None, max_examples=30)
@given(
    distance=st.integers(0, 300),
    start=st.integers(0, 1_048_576 - 300),
    kind=st.sampled_from(["rope", "hope"]),
    seed=st.integers(0, 100),
)
def test_logits_depend_on_the_distance_alone(distance, start, kind, seed):
    generator = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, 1, 1, 1, 16, generator=generator)
    encoding = built(kind, shape())

    def logit(position: int) -> float:
        turned, _ = encoding.rotate(query, query, encoding.prepare(torch.tensor([position + distance])), query, 0)
        _, other = encoding.rotate(key, key, encoding.prepare(torch.tensor([position])), key, 0)
        return float((turned * other).sum())

    assert logit(start) == pytest.approx(logit(0), abs=2e-4)


def test_stopped_components_ignore_position():
    hope = built("hope", shape(16, length=64))
    still = (hope.frequencies == 0).nonzero()[:, 0]
    assert len(still)
    heads = torch.randn(1, 2, 1, 16)
    turned, _ = hope.rotate(heads, heads, hope.prepare(torch.tensor([123_456])), heads, 0)
    for dimensions in (still, still + 8):
        assert torch.equal(turned[..., dimensions], heads[..., dimensions])


def test_replaced_frequencies_last_for_the_block():
    rope = built("rope", shape())
    before = rope.frequencies
    with rope.replaced(torch.zeros(8)):
        assert not rope.frequencies.any()
    assert rope.frequencies is before


def test_bad_sizes_are_one_clear_line():
    with pytest.raises(UserError, match="head dimension 7 is odd"):
        rope_frequencies(7, 1e4)
    with pytest.raises(UserError, match="base 0.0 is not above 0"):
        rope_frequencies(8, 0.0)
