"""FIRE against its formula worked in plain Python, and its dependence on the place."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hope.encodings.base import EncodingShape
from hope.encodings.fire import Fire

SHAPE = EncodingShape(layers=2, width=64, heads=3, kv_heads=3, head_dim=16, length=64)


def made(length: int = 64, **settings: float) -> Fire:
    built = Fire(EncodingShape(layers=2, width=64, heads=3, kv_heads=3, head_dim=16, length=length), **settings)
    built.initialise(lambda name: torch.Generator().manual_seed(len(name)))
    return built


def by_hand(fire: Fire, head: int, query: int, key: int, layer: int, threshold: float) -> float:
    c = abs(fire.c[layer].item())
    place = math.log(1 + c * (query - key)) / (math.log(1 + c * max(query, threshold)) + 1e-6)
    total = 0.0
    for unit in range(32):
        hidden = fire.hidden_weight[layer, unit].item() * place + fire.hidden_bias[layer, unit].item()
        total += fire.output[layer, head, unit].item() * max(hidden, 0.0)
    return total


@pytest.mark.parametrize("factor", [1.0, 1.5, -0.5])
def test_bias_equals_the_formula(factor):
    fire = made(threshold=20.0)
    with torch.no_grad():
        fire.factor.fill_(factor)
        fire.c.copy_(torch.tensor([0.1, -0.4]))
    positions = torch.tensor([0, 3, 11, 40, 500])
    for layer in range(2):
        bias = fire.bias(torch.arange(3)[:, None, None], positions[:, None], positions, layer)
        for head in range(3):
            for row, query in enumerate(positions.tolist()):
                for column, key in enumerate(positions.tolist()[: row + 1]):
                    expected = by_hand(fire, head, query, key, layer, 20.0 * abs(factor))
                    assert bias[head, row, column].item() == pytest.approx(expected, abs=1e-5)


def test_numbers_one_by_one_give_what_a_whole_gives():
    fire, positions = made(), torch.arange(5)
    whole = fire.bias(torch.arange(3)[:, None, None], positions[:, None], positions, 1)
    for head in range(3):
        for query in range(5):
            one = fire.bias(torch.tensor(head), torch.tensor(query), torch.tensor(2), 1)
            assert one.shape == () and one.item() == pytest.approx(whole[head, query, 2].item(), abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(query=st.integers(0, 1_048_576), share=st.floats(0, 1))
def test_what_is_fed_in_is_a_share_at_any_length(query, share):
    fire = made()
    place = fire.place(torch.tensor(query), torch.tensor(round(share * query)), 0).item()
    assert 0 <= place <= 1 + 1e-6
    assert fire.place(torch.tensor(query), torch.tensor(query), 0).item() == 0


def test_past_the_threshold_it_depends_on_the_query_and_before_on_the_distance_alone():
    fire = made(length=64)
    assert fire.threshold == 16
    at = lambda query: fire.bias(torch.arange(3), torch.tensor(query), torch.tensor(query - 5), 0)  # noqa: E731
    assert torch.equal(at(6), at(16))
    assert (at(16) - at(40)).abs().max() > 1e-3
    assert (at(40) - at(4000)).abs().max() > 1e-3


@pytest.mark.parametrize(("length", "threshold"), [(64, 16), (1024, 256), (2048, 512), (8192, 512)])
def test_threshold_begins_where_training_passes_it(length, threshold):
    assert made(length).threshold == threshold
    assert made(length, threshold=100.0).threshold == 100


def test_a_layer_has_a_function_of_its_own():
    fire = made()
    where = torch.arange(3), torch.tensor(9), torch.tensor(2)
    assert (fire.bias(*where, 0) - fire.bias(*where, 1)).abs().max() > 1e-3


def test_every_number_of_a_layer_gets_a_gradient():
    fire, positions = made(), torch.arange(40)
    bias = fire.bias(torch.arange(3)[:, None, None], positions[:, None], positions, 1)
    bias.square().sum().backward()
    for name, parameter in fire.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad[1].any() and not parameter.grad[0].any(), name
