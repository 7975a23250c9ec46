"""Patterns planted in the weights of a real decoder: every measure says of each what it is."""

import numpy as np
import pytest
import torch

from hope import config
from hope.analysis.activation import activated_components
from hope.analysis.components import Components
from hope.analysis.divergence import Divergence
from hope.analysis.profile import Profile
from hope.analysis.stream import Scope, observe_attention
from hope.analysis.ushape import UShape
from hope.model.decoder import Decoder

LENGTH, LONGEST, DIM, HALF, QUERIES = 32, 128, 16, 8, 4
PREVIOUS, SEVEN_BACK, FIRST, ONE_COMPONENT = range(4)
START, ACTIVE = 0, 3
SIZE = 10.0
"""Length of a planted pair: logits of 25 a component."""


def plant() -> Decoder:
    """Return one layer of four heads whose queries and keys are the same at every token but the start token.

    A key ahead of the query by the angle of r tokens in every component is matched best at distance r. The
    start token has an embedding of its own, and the third head keys on that alone, in its slowest component.
    """
    shape = config.Model(layers=1, width=4 * DIM, heads=4, mlp_width=16)
    model = Decoder(shape, 64, LENGTH, config.EncodingSpec(name="rope", family="rope", settings={"base": 1e4})).eval()
    model.initialise(0)
    theta = model.encoding.frequencies.numpy()
    queries, keys, of_start = (np.zeros((4, HALF), dtype=complex) for _ in range(3))
    for head, distance in ((PREVIOUS, 1), (SEVEN_BACK, 7)):
        queries[head], keys[head] = SIZE, SIZE * np.exp(1j * distance * theta)
    queries[FIRST, -1] = of_start[FIRST, -1] = SIZE
    queries[ONE_COMPONENT, ACTIVE] = keys[ONE_COMPONENT, ACTIVE] = SIZE
    half = shape.width // 2
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.embedding.weight[:, :half] = 1.0
        model.embedding.weight[START] = model.embedding.weight[START].roll(half)
        # Behind the norm the entries of an embedding, half of them 0, are sqrt(2).
        weight = model.blocks[0].attention.qkv.weight.zero_()
        for row, wanted in ((0, queries), (1, keys)):
            rows = slice(row * shape.width, (row + 1) * shape.width)
            weight[rows, :half] = column(wanted) / (half * 2**0.5)
        weight[rows, half:] = column(of_start) / (half * 2**0.5)
    return model


def column(pairs):
    """Return the rows ``[heads * dim, 1]`` that hold complex pairs ``[heads, dim / 2]``."""
    return torch.from_numpy(np.concatenate([pairs.real, pairs.imag], axis=1)).float().reshape(-1, 1)


@pytest.fixture(scope="module")
def found():
    model = plant()
    tokens = torch.randint(1, 64, (5, LONGEST), generator=torch.Generator().manual_seed(4))
    tokens[:, 0] = START
    scope = Scope(1, 4, [LENGTH, LONGEST], QUERIES, len(tokens))
    measures = {
        "profile": Profile(scope),
        "ushape": UShape(scope),
        "divergence": Divergence(scope, LENGTH),
        "components": Components(scope, model.encoding.frequencies.numpy(), LENGTH, 2),
    }
    observe_attention(model, tokens, scope, list(measures.values()))
    return measures


@pytest.mark.parametrize(
    ("head", "axis", "place"), [(PREVIOUS, "distance", 1), (SEVEN_BACK, "distance", 7), (FIRST, "key", 0)]
)
def test_the_profile_shows_where_a_head_attends(found, head, axis, place):
    for end in (LENGTH, LONGEST):
        mass = found["profile"].mass(end, axis)[0, head]
        assert mass.argmax() == place
        assert mass[place] > 0.99


def test_none_of_them_is_u_shaped_without_the_first_token(found):
    measures = {name: values[:, 0].mean(axis=-1) for name, values in found["ushape"].measures().items()}
    for place in range(2):
        assert measures["near"][place, PREVIOUS] > 3.9
        assert measures["first"][place, FIRST] > 3.9
        for head in (PREVIOUS, FIRST):
            assert measures["index"][place, head] < 0.01
        # What is left of the head on the first token attends to all others alike.
        assert measures["index_without_sink"][place, FIRST] == pytest.approx(0.0, abs=1e-3)


def test_heads_that_do_the_same_past_the_training_length_do_not_depart(found):
    divergence = found["divergence"].divergences()[0, 0].mean(axis=-1)
    assert divergence[[PREVIOUS, SEVEN_BACK, FIRST]] == pytest.approx(0.0, abs=0.01)


def test_the_one_active_component_is_all_there_is(found):
    components = found["components"]
    shares, spreads = components.variance_shares()[0, ONE_COMPONENT], components.head_spreads()[0, ONE_COMPONENT]
    others = np.arange(HALF) != ACTIVE
    assert shares[ACTIVE] == pytest.approx(1.0, abs=1e-5)
    assert spreads[ACTIVE] > 1.0
    assert np.abs(spreads[others]).max() == np.abs(shares[others]).max() == 0.0
    assert activated_components(spreads, components.frequencies, 1 / HALF)[0] == [ACTIVE]
    curve = SIZE**2 * np.cos(np.arange(LENGTH - QUERIES) * components.frequencies[ACTIVE]) / DIM**0.5
    met = components.contributions()[0, ONE_COMPONENT, ACTIVE, : len(curve)]
    np.testing.assert_allclose(met, curve, atol=1e-3)  # farther, the start token takes part
