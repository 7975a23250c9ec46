"""Positions that are added to the embeddings: sinusoidal and learned."""

import math

import pytest
import torch

from hope.encodings.base import EncodingShape
from hope.encodings.learned import Learned
from hope.encodings.sinusoidal import Sinusoidal, sinusoids
from hope.errors import UserError

SHAPE = EncodingShape(layers=1, width=12, heads=2, kv_heads=2, head_dim=6, length=8)


@pytest.mark.parametrize("base", [10_000.0, 100.0])
def test_sinusoids_equal_the_papers_formula_far_out_too(base):
    positions = torch.tensor([0, 1, 2, 77, 4095, 1_048_576])
    table = sinusoids(positions, 12, base)
    assert table.dtype == torch.float32
    for row, position in enumerate(positions.tolist()):
        for i in range(6):
            angle = position / base ** (2 * i / 12)
            assert table[row, 2 * i].item() == pytest.approx(math.sin(angle), abs=2e-7)
            assert table[row, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=2e-7)


def test_an_odd_width_ends_with_a_sine():
    whole, odd = sinusoids(torch.arange(5), 8, 10_000.0), sinusoids(torch.arange(5), 7, 10_000.0)
    assert odd.shape == (5, 7) and torch.equal(odd[:, 0], whole[:, 0])
    torch.testing.assert_close(odd[:, 6], torch.sin(torch.arange(5) * 10_000 ** (-6 / 7)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sinusoidal_is_added_to_scaled_embeddings(dtype):
    embeddings = torch.randn(2, 3, 12, generator=torch.Generator().manual_seed(0)).to(dtype)
    positions = torch.tensor([5, 6, 1_000_000])
    found = Sinusoidal(SHAPE, 1e4).embed(embeddings, positions)
    assert found.dtype == dtype
    expected = embeddings.double() * math.sqrt(12) + sinusoids(positions, 12, 10_000.0).double()
    torch.testing.assert_close(found.double(), expected, atol=1e-6 if dtype == torch.float32 else 0.06, rtol=0)


def test_learned_adds_the_row_of_the_position():
    learned = Learned(SHAPE)
    learned.initialise(lambda name: torch.Generator().manual_seed(0))
    assert learned.longest == 8 and learned.table.std() > 0
    embeddings = torch.ones(2, 3, 12)
    found = learned.embed(embeddings, torch.tensor([2, 3, 7]))
    assert torch.equal(found[1], 1 + learned.table[[2, 3, 7]])


@pytest.mark.parametrize(("positions", "word"), [([0, 8], "8"), ([-1, 0], "-1")])
def test_learned_never_wraps(positions, word):
    with pytest.raises(UserError, match=f"learned positions end at 7, the training length; position {word} has none"):
        Learned(SHAPE).embed(torch.zeros(1, 2, 12), torch.tensor(positions))
