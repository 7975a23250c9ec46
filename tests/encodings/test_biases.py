"""Biases on the logits against formulas in plain Python and against transformers."""

import math

import pytest
import torch
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.t5.modeling_t5 import T5Attention

from hope.catalogue.families.alibi import slopes
from hope.encodings.fire import Fire
from hope.encodings.kerple import Kerple
from hope.encodings.t5 import t5_bucket
from tests.encodings.logits_of import FARTHEST, assert_pairs, bias_of, built, drawn, shape_of


def test_slopes_of_alibi_are_the_papers():
    of_eight, of_sixteen = ([2 ** (-8 * h / n) for h in range(1, n + 1)] for n in (8, 16))
    assert slopes(torch.arange(8), 8).tolist() == of_eight
    assert slopes(torch.arange(12), 12).tolist() == pytest.approx(of_eight + of_sixteen[0:8:2], rel=1e-6)


@pytest.mark.parametrize("heads", [1, 2, 3, 6, 12, 16])
def test_alibi_equals_blooms_up_to_a_constant_of_each_row(heads):
    ours = bias_of(built("alibi", shape_of(heads=heads)), torch.arange(9))
    theirs = build_alibi_tensor(torch.ones(1, 9), heads, torch.float32).view(heads, 1, 9)
    difference = ours - theirs
    torch.testing.assert_close(difference, difference[:, :, :1].expand_as(difference), atol=1e-5, rtol=0)


def test_distances_of_alibi_are_exact_far_out():
    bias = bias_of(built("alibi", shape_of(heads=2)), torch.tensor([FARTHEST - 4, FARTHEST - 1]))
    assert bias[:, 1, 0].tolist() == [-3 / 16, -3 / 256]


def buckets_of_transformers(distance: torch.Tensor, buckets: int = 32, longest: int = 128) -> torch.Tensor:
    """Return the buckets of T5's decoder; transformers counts from the query to the key."""
    return T5Attention._relative_position_bucket(
        -distance, bidirectional=False, num_buckets=buckets, max_distance=longest
    )


ANY = torch.randint(FARTHEST, (500,), generator=torch.Generator().manual_seed(0))
DISTANCES = torch.cat((torch.arange(-50, 5000), ANY, torch.tensor([FARTHEST])))


@pytest.mark.parametrize("buckets", [4, 8, 32, 64])
@pytest.mark.parametrize("longest", [40, 100, 128, 4096])
def test_any_distance_has_the_bucket_of_transformers(buckets, longest):
    expected = buckets_of_transformers(DISTANCES, buckets, longest)
    assert torch.equal(t5_bucket(DISTANCES, buckets, longest), expected)


def test_t5_adds_the_tables_number_for_the_distance_alone_in_every_layer():
    t5, distances = drawn("t5", shape_of(heads=3)), DISTANCES.clamp(min=0)
    for layer, key in ((0, 0), (1, FARTHEST)):
        bias = t5.bias(torch.arange(3)[:, None], key + distances, torch.tensor(key), layer)
        assert bias.dtype == torch.float32
        assert torch.equal(bias, t5.table[:, buckets_of_transformers(distances)])
    table = drawn("t5", shape_of(heads=400)).table
    # As transformers draws it.
    assert table.std().item() == pytest.approx((400 * 16) ** -0.5, rel=0.05)
    assert table.mean().item() == pytest.approx(0, abs=0.001)


# Numbers within the bounds and outside of them.
POWERS, FACTORS = [-1.0, 0.5, 1.7, 2.0, 2.6], [-1.0, 0.004, 0.2, 0.9, 1.5]
EACH_KERNEL = pytest.mark.parametrize("family", ["kerple_log", "kerple_power"])


def kerple(family: str, p: list[float], a: list[float]) -> Kerple:
    encoding = built(family, shape_of(heads=len(p)))
    assert isinstance(encoding, Kerple)
    with torch.no_grad():
        encoding.p.copy_(torch.tensor(p))
        encoding.a.copy_(torch.tensor(a))
    return encoding


def kernel(family: str, p: float, a: float, distance: int) -> float:
    """Return the paper's kernel, its numbers bounded."""
    p, a = max(p, 0.01), max(a, 0.01)
    return -p * math.log(1 + a * distance) if family == "kerple_log" else -a * distance ** min(p, 2.0)


@EACH_KERNEL
def test_kerple_equals_the_formula_within_its_bounds_and_outside(family):
    p, a = zip(*[(p, a) for p in POWERS for a in FACTORS], strict=True)
    encoding = kerple(family, p, a)
    for places, rtol in (([0, 1, 2, 7, 100], 1e-5), ([0, 4097, FARTHEST, FARTHEST + 7, 2 * FARTHEST], 2e-5)):
        bias = bias_of(encoding, torch.tensor(places), layer=1)
        assert_pairs(bias, lambda h, i, j, at=places: kernel(family, p[h], a[h], at[i] - at[j]), rtol=rtol)


@EACH_KERNEL
def test_gradients_of_kerple_are_finite_at_the_query_and_after_it(family):
    encoding = kerple(family, [0.5, 1.7, 0.01, 2.0], [0.2, 0.9, 0.01, 1.5])
    bias_of(encoding, torch.arange(6)).sum().backward()
    for parameter in encoding.parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.all()


@EACH_KERNEL
def test_a_number_of_kerple_outside_its_range_counts_as_the_bound_but_has_a_gradient_to_come_back(family):
    outside, bound = kerple(family, [-0.5], [-2.0]), kerple(family, [0.01], [0.01])
    where = torch.tensor(0), torch.tensor(9), torch.tensor(2), 0
    found, expected = outside.bias(*where), bound.bias(*where)
    assert torch.equal(found, expected)
    found.backward(), expected.backward()
    for ours, theirs in zip(outside.parameters(), bound.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad) and ours.grad[0] < 0
    # The bound is float32's, not the nearest number of bfloat16.
    assert torch.equal(outside.bfloat16().bias(*where), expected)


@EACH_KERNEL
def test_first_numbers_of_kerple_are_uniform_and_those_of_all_layers(family):
    encoding = drawn(family, shape_of(heads=4000))
    for parameter, top in ((encoding.p, 2), (encoding.a, 1)):
        assert 0 <= parameter.min() < 0.01 * top and 0.99 * top < parameter.max() <= top
        assert parameter.mean().item() == pytest.approx(top / 2, abs=0.05)
    where = torch.tensor(3), torch.tensor(9), torch.tensor(2)
    assert encoding.bias(*where, 0) == encoding.bias(*where, 1)


def fire(length: int = 64, **settings: float) -> Fire:
    encoding = drawn("fire", shape_of(length=length), **settings)
    assert isinstance(encoding, Fire)
    return encoding


@pytest.mark.parametrize("factor", [1.0, 1.5, -0.5])
def test_fire_equals_the_formula(factor):
    encoding, places = fire(threshold=20.0), [0, 3, 11, 40, 500]
    with torch.no_grad():
        encoding.factor.fill_(factor)
        encoding.c.copy_(torch.tensor([0.1, -0.4]))

    def formula(head: int, i: int, j: int) -> float:
        c, reach = abs(encoding.c[layer].item()), max(places[i], 20.0 * abs(factor))
        ratio = math.log(1 + c * (places[i] - places[j])) / (math.log(1 + c * reach) + 1e-6)
        units = zip(weights, biases, outputs[head], strict=True)
        return sum(output * max(weight * ratio + bias, 0.0) for weight, bias, output in units)

    for layer in range(2):
        parts = encoding.hidden_weight, encoding.hidden_bias, encoding.output
        weights, biases, outputs = (part[layer].tolist() for part in parts)
        assert_pairs(bias_of(encoding, torch.tensor(places), layer), formula, atol=1e-5)
    assert not torch.equal(encoding.output[0], encoding.output[1])


def test_the_input_of_fire_depends_on_the_query_past_the_threshold():
    encoding = fire(length=64)
    assert encoding.threshold == 16
    queries = DISTANCES.clamp(min=0)
    keys = (queries * torch.linspace(0, 1, len(queries))).long()
    ratio = encoding.ratio(queries, keys, 0)
    assert (ratio >= 0).all() and (ratio <= 1 + 1e-6).all()
    assert not encoding.ratio(queries, queries, 0).any()
    near, at, past, far = (
        encoding.bias(torch.arange(4), torch.tensor(query), torch.tensor(query - 5), 0) for query in (6, 16, 40, 4000)
    )
    assert torch.equal(near, at)
    assert (at - past).abs().max() > 1e-3 and (past - far).abs().max() > 1e-3


def test_the_threshold_of_fire_begins_where_training_passes_it():
    assert [fire(length).threshold for length in (64, 1024, 2048, 8192)] == [16, 256, 512, 512]
    assert fire(threshold=100.0).threshold == 100
