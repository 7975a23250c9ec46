"""Positions that are added to the embeddings: sinusoidal and learned."""

import math

import pytest
import torch

from hope.encodings.sinusoidal import sinusoids
from hope.errors import UserError
from tests.encodings.logits_of import built, drawn, random, shape_of

SHAPE = shape_of(head_dim=6, length=8, heads=2)


@pytest.mark.parametrize(("width", "base"), [(12, 10_000.0), (12, 100.0), (7, 10_000.0)])
def test_sinusoids_equal_the_papers_formula_far_out_too(width, base):
    positions = [0, 1, 2, 77, 4095, 1_048_576]
    table = sinusoids(torch.tensor(positions), width, base)
    waves = [math.sin, math.cos] * width
    expected = [[waves[c](m / base ** ((c - c % 2) / width)) for c in range(width)] for m in positions]
    torch.testing.assert_close(table, torch.tensor(expected), atol=2e-7, rtol=0)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.bfloat16, 0.06)])
def test_sinusoidal_is_added_to_scaled_embeddings(dtype, atol):
    embeddings, positions = random(2, 3, 12).to(dtype), torch.tensor([5, 6, 1_000_000])
    found = built("sinusoidal", SHAPE).embed(embeddings, positions)
    assert found.dtype == dtype
    expected = embeddings.double() * math.sqrt(12) + sinusoids(positions, 12, 10_000.0).double()
    torch.testing.assert_close(found.double(), expected, atol=atol, rtol=0)


def test_learned_adds_the_row_of_the_position_and_never_wraps():
    learned = drawn("learned", SHAPE)
    assert learned.longest == 8 and learned.table.std() > 0
    found = learned.embed(torch.ones(2, 3, 12), torch.tensor([2, 3, 7]))
    assert torch.equal(found[1], 1 + learned.table[[2, 3, 7]])
    for positions, wrong in (([0, 8], 8), ([-1, 0], -1)):
        message = f"learned positions end at 7, the training length; position {wrong} has none"
        with pytest.raises(UserError, match=message):
            learned.embed(torch.zeros(1, 2, 12), torch.tensor(positions))
