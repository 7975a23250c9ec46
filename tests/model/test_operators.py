"""The decoder's own operators against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hope.model import operators
from hope.model.operators import Projection, RMSNorm, linear, product, swiglu, weight_gradient


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def compare(ours, theirs, *inputs: Tensor, tolerance: float = 1e-4) -> None:
    """Hold two functions and their gradients together on the same inputs."""
    results = []
    for function in (ours, theirs):
        leaves = [one.clone().requires_grad_() for one in inputs]
        found = function(*leaves)
        towards = random(*found.shape, seed=9).to(found.dtype)
        results.append((found, *torch.autograd.grad(found, leaves, towards)))
    for one, other in zip(*results, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("rows", [(3,), (2, 100), (4, 5, 6), (0,)])
@pytest.mark.parametrize(("inputs", "outputs"), [(24, 72), (72, 24), (130, 8)])
def test_linear(rows, inputs, outputs):
    compare(linear, F.linear, random(*rows, inputs), random(outputs, inputs, seed=1))


def test_linear_of_strided_inputs():
    compare(
        lambda x, w: linear(x[:, ::2, 3:], w), lambda x, w: F.linear(x[:, ::2, 3:], w), random(4, 80, 27), random(9, 24)
    )


def test_linear_in_float64_against_finite_differences():
    inputs, weight = random(3, 5).double().requires_grad_(), random(4, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(linear, (inputs, weight))
    assert torch.autograd.gradcheck(operators._Projection.apply, (inputs, weight))


@pytest.mark.parametrize("rows", [0, operators.FEW_ROWS - 1, operators.FEW_ROWS, 200])
@pytest.mark.parametrize("sides", [(96, 40), (40, 96), (96, 70)])
def test_products_on_either_library_are_the_same(rows, sides):
    left, right = random(rows, 24), random(sides[0], 24)
    torch.testing.assert_close(product(left, right), left @ right.t(), atol=1e-4, rtol=1e-4)
    gradient, inputs = random(rows, sides[0]), random(rows, sides[1])
    torch.testing.assert_close(weight_gradient(gradient, inputs), gradient.t() @ inputs, atol=1e-4, rtol=1e-4)


def test_a_linear_layer_has_a_weight_and_no_bias():
    layer = Projection(6, 4)
    assert {name: tuple(one.shape) for name, one in layer.named_parameters()} == {"weight": (4, 6)}


@pytest.mark.parametrize("shape", [(7, 12), (2, 3, 4, 12)])
def test_rms_norm(shape):
    def ours(inputs: Tensor, weight: Tensor) -> Tensor:
        norm = RMSNorm(12, 1e-5)
        return torch.func.functional_call(norm, {"weight": weight}, (inputs,))

    compare(ours, lambda x, w: F.rms_norm(x, (12,), w, 1e-5), random(*shape), random(12, seed=1))


def test_rms_norm_in_float64_against_finite_differences():
    inputs, weight = random(4, 6).double().requires_grad_(), random(6, seed=1).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: operators._RMSNorm.apply(x, w, 1e-2), (inputs, weight))


def test_rms_norm_of_zeros_is_zero_with_a_finite_gradient():
    inputs = torch.zeros(2, 6, requires_grad=True)
    found = RMSNorm(6, 1e-5)(inputs)
    found.sum().backward()
    assert not found.any() and inputs.grad is not None and inputs.grad.isfinite().all()


def plain_swiglu(both: Tensor) -> Tensor:
    gate, up = both.chunk(2, dim=-1)
    return gate * torch.sigmoid(gate) * up


@pytest.mark.parametrize("shape", [(7, 12), (2, 3, 12)])
def test_swiglu(shape):
    compare(swiglu, plain_swiglu, 3 * random(*shape))
    assert torch.autograd.gradcheck(swiglu, (random(3, 8).double().requires_grad_(),))


def test_in_bfloat16_they_are_pytorchs_within_rounding():
    inputs, weight = random(70, 16).bfloat16(), random(8, 16).bfloat16()
    compare(linear, F.linear, inputs, weight, tolerance=2e-2)
    compare(swiglu, plain_swiglu, inputs, tolerance=5e-2)
    assert RMSNorm(16, 1e-5).bfloat16()(inputs).dtype == torch.bfloat16
