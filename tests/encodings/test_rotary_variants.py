"""Rotations by other frequencies: partial RoPE against GPT-NeoX, and what a module makes of a spectrum."""

import pytest
import torch
from transformers import GPTNeoXConfig
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXRotaryEmbedding, apply_rotary_pos_emb

from hope.catalogue import FAMILIES
from hope.encodings.base import EncodingShape
from hope.encodings.registry import build_encoding
from hope.encodings.rotary import Rotary
from tests.encodings.logits_of import built as built_family
from tests.encodings.logits_of import named

SHAPE = EncodingShape(layers=1, width=32, heads=2, kv_heads=2, head_dim=16, length=64)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_partial_rope_is_neox_with_dimensions_in_another_order(share):
    tokens, turning = 40, int(16 * share) // 2
    stock = GPTNeoXConfig(
        hidden_size=32,
        num_attention_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": share},
    )
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 3, 2, tokens, 16)
    positions = torch.arange(tokens)
    theirs = apply_rotary_pos_emb(queries, keys, *GPTNeoXRotaryEmbedding(stock)(queries, positions[None]))
    # Theirs turns the pairs (j, j + r/2) of the first r dimensions, ours (j, j + d/2).
    pairs = [*range(turning), *range(2 * turning, 2 * turning + 8 - turning)]
    partners = [*range(turning, 2 * turning), *range(2 * turning + 8 - turning, 16)]
    order = pairs + partners
    assert sorted(order) == list(range(16))
    partial = built_family("partial_rope", SHAPE, share=share)
    ours = partial.rotate(queries[..., order], keys[..., order], partial.prepare(positions), queries, 0)
    for mine, stocks in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, stocks[..., order], atol=2e-5, rtol=0)
    torch.testing.assert_close(ours[0] @ ours[1].mT, theirs[0] @ theirs[1].mT, atol=2e-4, rtol=0)


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.rotary])
def test_a_rotary_module_turns_by_the_frequencies_of_the_catalogue(family):
    encoding = named(family)
    built = build_encoding(encoding, SHAPE)
    assert isinstance(built, Rotary)
    known = FAMILIES[family].spectrum_at(encoding.settings, SHAPE.head_dim, SHAPE.length)
    assert built.frequencies.dtype == torch.float64
    assert built.frequencies.tolist() == list(known.frequencies)
    heads = torch.randn(1, 2, 1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    position = 1_000_003
    turned, _ = built.rotate(heads, heads, built.prepare(torch.tensor([position])), heads, 0)
    angles = torch.tensor([position * frequency for frequency in known.frequencies], dtype=torch.float64)
    expected = torch.complex(*heads.chunk(2, dim=-1)) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(turned, torch.cat((expected.real, expected.imag), dim=-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.rotary])
def test_a_model_on_the_meta_device_has_its_frequencies(family):
    with torch.device("meta"):
        built = build_encoding(named(family), SHAPE)
    assert built.frequencies.device.type == "cpu"
