"""Rotations by angles linear in position against transformers and complex numbers."""

import pytest
import torch
from transformers import GPTNeoXConfig, LlamaConfig
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXRotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from hope.catalogue import FAMILIES
from hope.encodings.registry import build_encoding
from hope.encodings.rotary import Rotary, turn
from tests.encodings.logits_of import built, named, random, shape_of

SHAPE = shape_of(heads=2, layers=1)
TOKENS = 40


@pytest.mark.parametrize("base", [100.0, 10_000.0, 500_000.0])
def test_rope_equals_transformers(base):
    stock = LlamaConfig(
        hidden_size=32,
        num_attention_heads=2,
        head_dim=16,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )
    heads, positions = random(2, 3, 2, TOKENS, 16), torch.arange(TOKENS)
    expected = apply_rotary_pos_emb(*heads, *LlamaRotaryEmbedding(stock)(heads, positions[None]))
    rope = built("rope", SHAPE, base=base)
    found = rope.rotate(*heads, rope.prepare(positions), heads, 0)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_partial_rope_is_neox_with_dimensions_in_another_order(share):
    size = int(16 * share)
    stock = GPTNeoXConfig(
        hidden_size=32,
        num_attention_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": share},
    )
    heads, positions = random(2, 3, 2, TOKENS, 16), torch.arange(TOKENS)
    turning, still = heads.split([size, 16 - size], dim=-1)
    turned = apply_rotary_pos_emb(*turning, *GPTNeoXRotaryEmbedding(stock)(heads, positions[None]))
    # Theirs turns the pairs (j, j + r/2) of the first r dimensions, ours (j, j + d/2).
    theirs = [torch.cat(parts, dim=-1) for parts in zip(turned, still, strict=True)]
    first, second, others = torch.arange(16).split([size // 2, size // 2, 16 - size])
    order = torch.cat((first, others[: 8 - size // 2], second, others[8 - size // 2 :]))
    partial = built("partial_rope", SHAPE, share=share)
    ours = partial.rotate(*heads[..., order], partial.prepare(positions), heads, 0)
    for mine, stocks in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, stocks[..., order], atol=2e-5, rtol=0)
    torch.testing.assert_close(ours[0] @ ours[1].mT, theirs[0] @ theirs[1].mT, atol=2e-4, rtol=0)


def complex_turn(heads: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn pairs (j, j + d/2) as complex numbers."""
    turned = torch.complex(*heads.double().chunk(2, dim=-1)) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((turned.real, turned.imag), dim=-1)


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.rotary])
def test_a_rotary_module_turns_by_the_frequencies_of_the_catalogue_wherever_it_is_made(family):
    encoding = named(family)
    known = FAMILIES[family].spectrum_at(encoding.settings, SHAPE.head_dim, SHAPE.length).frequencies
    with torch.device("meta"):
        rotary = build_encoding(encoding, SHAPE)
    assert isinstance(rotary, Rotary) and rotary.frequencies.device.type == "cpu"
    assert rotary.frequencies.dtype == torch.float64 and rotary.frequencies.tolist() == list(known)
    position, heads = 1_000_003, random(1, 2, 1, 16).double()
    turned, _ = rotary.rotate(heads, heads, rotary.prepare(torch.tensor([position])), heads, 0)
    expected = complex_turn(heads, torch.tensor([position * frequency for frequency in known], dtype=torch.float64))
    torch.testing.assert_close(turned, expected, atol=1e-6, rtol=0)


def test_replaced_frequencies_last_for_the_block():
    rope = built("rope", SHAPE)
    before = rope.frequencies
    with rope.replaced(torch.zeros(8)):
        assert not rope.frequencies.any()
    assert rope.frequencies is before


def angles(tokens: int, half: int) -> torch.Tensor:
    return torch.rand(tokens, half, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 50


@pytest.mark.parametrize("layout", ["heads first", "tokens first", "sliced"])
def test_turn_and_its_gradient_equal_those_of_complex_numbers(layout):
    heads, by, towards = random(2, 3, 5, 8), angles(5, 4), random(2, 3, 5, 8, seed=2)
    if layout == "tokens first":
        heads = heads.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == "sliced":
        heads = torch.cat((heads, heads), dim=1)[:, :3]
    first, second = heads.clone().requires_grad_(), heads.double().requires_grad_()
    found, expected = turn(first, by.cos().float(), by.sin().float()), complex_turn(second, by)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    (gradient,) = torch.autograd.grad(found, first, towards)
    (wanted,) = torch.autograd.grad(expected, second, towards.double())
    torch.testing.assert_close(gradient.double(), wanted, atol=1e-5, rtol=1e-5)


def test_angles_that_are_learned_get_their_gradient():
    heads, by = random(1, 2, 3, 4).double().requires_grad_(), angles(3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda one, other: turn(one, other.cos(), other.sin()), (heads, by))
