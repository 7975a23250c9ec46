"""PoPE against its formula in plain floats, and the range of its phases."""

import math

import pytest
import torch

from hope.encodings.base import EncodingShape
from hope.encodings.pope import held
from tests.encodings.logits_of import built, logits_of

DIM = 6
SHAPE = EncodingShape(layers=3, width=24, heads=4, kv_heads=2, head_dim=DIM, length=64)


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def formula(query: list[float], key: list[float], distance: int, delta: list[float]) -> float:
    """Sum over the d dimensions: softplus(q_c) softplus(k_c) cos(distance theta_c - delta_c)."""
    return sum(
        softplus(q) * softplus(k) * math.cos(distance * 10_000 ** (-c / DIM) - phase)
        for c, (q, k, phase) in enumerate(zip(query, key, delta, strict=True))
    )


@pytest.mark.parametrize("start", [0, 1_048_000])
@pytest.mark.parametrize("delta", ["zero", "uniform"])
def test_logits_equal_the_formula(start, delta):
    pope = built("pope", SHAPE, delta=delta)
    pope.initialise(lambda name: torch.Generator().manual_seed(3))
    random = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(1, 4, 12, DIM, generator=random), torch.randn(1, 2, 12, DIM, generator=random)
    layer = 2
    logits = logits_of(pope, queries, keys, torch.arange(start, start + 12), layer=layer)
    for head in range(4):
        phases = pope.delta[layer, head // 2].tolist()
        for m in range(12):
            for n in range(m + 1):
                expected = formula(queries[0, head, m].tolist(), keys[0, head // 2, n].tolist(), m - n, phases)
                assert logits[0, head, m, n].item() == pytest.approx(expected, abs=2e-5)


def test_queries_and_keys_become_twice_as_wide():
    pope = built("pope", SHAPE)
    queries, keys = torch.zeros(1, 4, 5, DIM), torch.zeros(1, 2, 5, DIM)
    turned = pope.rotate(queries, keys, pope.prepare(torch.arange(5)), queries, 0)
    assert [list(one.shape) for one in turned] == [[1, 4, 5, 2 * DIM], [1, 2, 5, 2 * DIM]]


def test_phases_begin_at_0_or_anywhere_in_their_range():
    zero, uniform = built("pope", SHAPE), built("pope", SHAPE, delta="uniform")
    for pope in (zero, uniform):
        pope.initialise(lambda name: torch.Generator().manual_seed(0))
    assert zero.delta.shape == (3, 2, DIM) and not zero.delta.any()
    assert -2 * math.pi <= uniform.delta.min() < -5.5 and -0.8 < uniform.delta.max() <= 0


@pytest.mark.parametrize(
    ("delta", "gradient", "passes"),
    [
        (-1.0, 1.0, True),
        (-1.0, -1.0, True),
        (0.0, 1.0, True),  # a descent goes inwards
        (0.0, -1.0, False),
        (0.3, 1.0, True),  # and back, from where a step led out
        (0.3, -1.0, False),
        (-2 * math.pi - 0.1, -1.0, True),
        (-2 * math.pi - 0.1, 1.0, False),
    ],
)
def test_phases_stay_in_their_range_and_never_stick_at_its_edge(delta, gradient, passes):
    parameter = torch.tensor([delta], requires_grad=True)
    inside = held(parameter)
    assert inside.item() == pytest.approx(min(max(delta, -2 * math.pi), 0.0))
    inside.backward(torch.tensor([gradient]))
    assert parameter.grad.item() == (gradient if passes else 0.0)


def test_a_phase_that_helps_is_learned_from_0():
    """A logit that should be largest at distance 1 draws the phase below 0, where the cosine peaks later."""
    pope = built("pope", SHAPE)
    queries, keys = torch.ones(1, 4, 2, DIM), torch.ones(1, 2, 2, DIM)
    optimiser = torch.optim.Adam(pope.parameters(), lr=0.05)
    for sign, moves in ((1.0, False), (-1.0, True)):
        for _ in range(5):
            loss = sign * logits_of(pope, queries, keys, torch.arange(2))[0, :, 1, 0].sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert bool(pope.delta[0].any()) or not moves
    assert pope.delta.isfinite().all()
