"""The turn of queries and keys has a backward pass of its own: held against the one that autograd derives."""

import pytest
import torch
from torch import Tensor

from hope.encodings.rotary import turn


def angles(tokens: int, half: int) -> Tensor:
    return torch.rand(tokens, half, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 50


def complex_turn(heads: Tensor, by: Tensor) -> Tensor:
    """Turn pairs (j, j + d/2) as complex numbers."""
    first, second = heads.double().chunk(2, dim=-1)
    turned = torch.complex(first, second) * torch.polar(torch.ones_like(by), by)
    return torch.cat((turned.real, turned.imag), dim=-1)


@pytest.mark.parametrize("layout", ["heads first", "tokens first", "sliced"])
def test_turn_and_its_gradient_equal_those_of_complex_numbers(layout):
    heads = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0))
    if layout == "tokens first":
        heads = heads.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == "sliced":
        heads = torch.cat((heads, heads), dim=1)[:, :3]
    by = angles(5, 4)
    towards = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(2))
    first, second = heads.clone().requires_grad_(), heads.double().requires_grad_()
    found = turn(first, by.cos().float(), by.sin().float())
    expected = complex_turn(second, by)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)
    (gradient,) = torch.autograd.grad(found, first, towards)
    (wanted,) = torch.autograd.grad(expected, second, towards.double())
    torch.testing.assert_close(gradient.double(), wanted, atol=1e-5, rtol=1e-5)


def test_angles_that_are_learned_get_their_gradient():
    heads = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    by = angles(3, 2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda one, other: turn(one, other.cos(), other.sin()), (heads.requires_grad_(), by)
    )
