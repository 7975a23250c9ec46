"""KERPLE's kernels against their formulas worked in plain Python, and its bounds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hope.encodings.base import EncodingShape
from hope.encodings.kerple import Kerple, KerpleLog, KerplePower

SHAPE = EncodingShape(layers=3, width=64, heads=4, kv_heads=4, head_dim=16, length=64)
FARTHEST = 1_048_576
KINDS = [KerpleLog, KerplePower]


def made(kind: type[Kerple], p: list[float], a: list[float]) -> Kerple:
    built = kind(SHAPE)
    with torch.no_grad():
        built.p.copy_(torch.tensor(p))
        built.a.copy_(torch.tensor(a))
    return built


def by_hand(kind: type[Kerple], p: float, a: float, distance: int) -> float:
    """The kernels of the paper, its numbers bounded."""
    p, a = max(p, 0.01), max(a, 0.01)
    if kind is KerpleLog:
        return -p * math.log(1 + a * distance)
    return -a * distance ** min(p, 2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_bias_equals_the_formula_within_the_bounds_and_outside(kind):
    p, a = [0.5, 1.7, -0.3, 2.6], [0.2, 0.9, 0.004, 1.5]
    positions = torch.tensor([0, 1, 2, 7, 100])
    bias = made(kind, p, a).bias(torch.arange(4)[:, None, None], positions[:, None], positions, layer=1)
    for head in range(4):
        for row, query in enumerate(positions.tolist()):
            for column, key in enumerate(positions.tolist()[: row + 1]):
                expected = by_hand(kind, p[head], a[head], query - key)
                assert bias[head, row, column].item() == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=50)
@given(distance=st.integers(0, FARTHEST), key=st.integers(0, FARTHEST), p=st.floats(-1, 3), a=st.floats(-1, 3))
def test_bias_depends_on_the_distance_alone_and_never_overflows(kind, distance, key, p, a):
    built = made(kind, [p] * 4, [a] * 4)
    head = torch.tensor(0)
    far, near = (built.bias(head, torch.tensor(key + distance), torch.tensor(key), layer=0) for key in (key, 0))
    assert torch.equal(far, near)
    assert far.item() == pytest.approx(by_hand(kind, p, a, distance), rel=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_at_the_query_and_after_it(kind):
    built = made(kind, [0.5, 1.7, 0.01, 2.0], [0.2, 0.9, 0.01, 1.5])
    positions = torch.arange(6)
    built.bias(torch.arange(4)[:, None, None], positions[:, None], positions, layer=0).sum().backward()
    for parameter in (built.p, built.a):
        assert parameter.grad.isfinite().all() and parameter.grad.all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_outside_its_range_counts_as_the_bound_but_has_a_gradient_to_come_back(kind):
    outside, bound = made(kind, [-0.5] * 4, [-2.0] * 4), made(kind, [0.01] * 4, [0.01] * 4)
    where = torch.tensor(0), torch.tensor(9), torch.tensor(2), 0
    found, expected = outside.bias(*where), bound.bias(*where)
    assert torch.equal(found, expected)
    found.backward(), expected.backward()
    torch.testing.assert_close(outside.p.grad, bound.p.grad, atol=0, rtol=0)
    torch.testing.assert_close(outside.a.grad, bound.a.grad, atol=0, rtol=0)
    assert outside.p.grad[0] < 0 and outside.a.grad[0] < 0


@pytest.mark.parametrize("kind", KINDS)
def test_first_values_are_uniform_and_those_of_all_layers(kind):
    built = kind(EncodingShape(layers=3, width=64, heads=4000, kv_heads=4000, head_dim=16, length=64))
    built.initialise(lambda name: torch.Generator().manual_seed(len(name) + ord(name)))
    for parameter, top in ((built.p, 2), (built.a, 1)):
        assert 0 <= parameter.min() < 0.01 * top and 0.99 * top < parameter.max() <= top
        assert parameter.mean().item() == pytest.approx(top / 2, abs=0.05)
    assert sum(parameter.numel() for parameter in built.parameters()) == 2 * 4000
    where = torch.tensor(3), torch.tensor(9), torch.tensor(2)
    assert built.bias(*where, 0) == built.bias(*where, 2)


def test_half_precision_parameters_give_float32():
    built = made(KerpleLog, [0.5] * 4, [0.25] * 4).bfloat16()
    bias = built.bias(torch.tensor(0), torch.tensor(1000), torch.tensor(0), 0)
    assert bias.dtype == torch.float32
    assert bias.item() == pytest.approx(-0.5 * math.log(251), rel=1e-6)
