"""Contributions of frequency components: they add up to the logit, and planted ones are found."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hope.analysis.activation import activated_components, activation_columns
from hope.analysis.components import Components
from hope.analysis.stream import observe_attention
from hope.analysis.trained_kernels import bound_by_parts, trained_kernel_columns
from hope.encodings.rotary import rope_frequencies

LENGTH, DIM = 48, 16
FREQUENCIES = rope_frequencies(DIM, 100.0)


def components_of(model, queries=6, chosen_from=2, length=LENGTH):
    scope = model.scope([length // 2, length], queries)
    found = Components(scope, FREQUENCIES.numpy(), length, chosen_from)
    observe_attention(model, model.tokens(), scope, [found])
    return found


def turned(vectors, frequencies=FREQUENCIES):
    """Rotate ``[..., tokens, dim]`` by complex multiplication: another way than the model's."""
    first, second = vectors.double().chunk(2, dim=-1)
    angles = torch.arange(vectors.shape[-2]).double()[:, None] * frequencies
    spun = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((spun.real, spun.imag), dim=-1).float()


def with_vectors(planted, queries, keys):
    """Return a planted model with these queries and keys."""
    model = planted(torch.ones(*queries.shape[:2], 2, 2))
    model.queries, model.keys = queries, keys
    model.shape = model.shape.model_copy(update={"width": queries.shape[1] * DIM})
    return model


@pytest.fixture
def noise():
    return torch.Generator().manual_seed(6)


@pytest.mark.parametrize(("kv_heads", "length"), [(1, 300), (4, 48)])
def test_contributions_add_up_to_the_mean_logit_at_each_distance(planted, noise, kv_heads, length):
    queries = torch.randn(3, 4, length, DIM, generator=noise)
    model = with_vectors(planted, queries, torch.randn(3, kv_heads, length, DIM, generator=noise))
    found, queries = components_of(model, length=length), 6
    keys = model.keys.repeat_interleave(4 // kv_heads, dim=1).double()
    logits = (model.queries.double() @ keys.transpose(2, 3) * DIM**-0.5).mean(dim=0).numpy()
    for head in range(4):
        by_distance = [[] for _ in range(length)]
        for query in range(length - queries, length):
            for key in range(query + 1):
                by_distance[query - key].append(logits[head, query, key])
        expected = [
            np.mean(sum(by_distance[start:stop], []))
            for start, stop in zip(found.edges[:-1], found.edges[1:], strict=True)
        ]
        np.testing.assert_allclose(found.contributions()[0, head].sum(axis=0), expected, atol=1e-4)


def test_one_active_component_is_found_and_drawn_as_its_cosine(planted, noise):
    constant = 0.01 * torch.randn(4, 2, LENGTH, DIM, generator=noise)
    constant[..., 3] += 2.0
    found = components_of(with_vectors(planted, turned(constant), turned(constant)))
    chosen, others = activated_components(found.spread(), FREQUENCIES.numpy(), 0.125)
    assert (chosen, others) == ([3], [0, 1, 2, 4, 5, 6, 7])
    curve = 4.0 * np.cos(np.arange(LENGTH) * float(FREQUENCIES[3])) / DIM**0.5
    np.testing.assert_allclose(found.contributions()[0, 0, 3], curve, atol=0.05)
    assert found.spread()[3] == pytest.approx(curve.std(), abs=0.03)
    columns = found.columns(chosen)
    rows = (columns["component"] == 3) & (columns["head"] == 1)
    assert columns["query_norm"][rows] == pytest.approx(2.0, abs=0.02)
    assert columns["frequency"][rows] == pytest.approx(100 ** (-3 / 8))
    assert columns["activated"].sum() == rows.sum() * 2


def test_variance_shares_are_the_covariances_with_the_logit(planted, noise):
    scales, queries = torch.tensor([3.0, 1.0, 0.2, 1.0, 2.0, 0.5, 1.0, 0.1]).repeat(2), 6
    vectors = scales * torch.randn(3, 2, LENGTH, DIM, generator=noise)
    model = with_vectors(planted, vectors, 1.0 + torch.randn(3, 2, LENGTH, DIM, generator=noise))
    shares = components_of(model, queries).variance_shares()
    assert shares.shape == (1, 2, DIM // 2)
    assert shares.sum(axis=-1) == pytest.approx(1.0, abs=1e-5)
    for head in range(2):
        covariance = np.zeros(DIM // 2)
        for document in range(3):
            for query in range(LENGTH - queries, LENGTH):
                q, k = model.queries[document, head, query].numpy(), model.keys[document, head, : query + 1].numpy()
                added = (q * k)[:, : DIM // 2] + (q * k)[:, DIM // 2 :]
                covariance += np.cov(np.column_stack([added, added.sum(axis=1)]).T, ddof=0)[-1, :-1]
        np.testing.assert_allclose(shares[0, head], covariance / covariance.sum(), atol=1e-4)


def test_a_head_of_equal_logits_has_no_shares(planted):
    zeros = torch.zeros(2, 1, LENGTH, DIM)
    assert np.isnan(components_of(with_vectors(planted, zeros, zeros)).variance_shares()).all()


def test_the_mean_pair_is_that_from_before_the_rotation(planted, noise):
    """Constant vectors: h_j = q_j conj(k_j), and their kernel is the logit at every distance."""
    plain = torch.randn(2, 2, 1, DIM, generator=noise).expand(2, 2, LENGTH, DIM)
    other = torch.randn(2, 2, 1, DIM, generator=noise).expand(2, 2, LENGTH, DIM)
    found = components_of(with_vectors(planted, turned(plain), turned(other)))
    query, key = (torch.complex(*part[:, :, 0].double().chunk(2, dim=-1)).numpy() for part in (plain, other))
    expected = (query * key.conj()).mean(axis=0) * DIM**-0.5
    np.testing.assert_allclose(found.mean_pairs()[0], expected, atol=1e-5)
    table = pd.DataFrame(trained_kernel_columns(found))
    for head in range(2):
        rows = table[(table["layer"] == 0) & (table["head"] == head)].set_index("distance")
        assert rows.index[-1] == 16 * LENGTH and rows.index[0] == 1
        logits = (np.exp(1j * rows.index.to_numpy()[:, None] * FREQUENCIES.numpy()) @ expected[head]).real
        np.testing.assert_allclose(rows["value"], logits, atol=1e-4)
        assert (rows["bound"] >= rows["value"].abs()).all()
        met = found.contributions()[0, head].sum(axis=0)
        np.testing.assert_allclose(rows.loc[1 : LENGTH - 1, "value"], met[1:], atol=1e-4)


@given(seed=st.integers(0, 2**32 - 1), half=st.integers(1, 12), distance=st.integers(1, 5000))
def test_the_bound_by_parts_holds_for_any_pairs(seed, half, distance):
    """What kernel_trained.parquet calls a bound, for pairs as different as they come."""
    random = np.random.default_rng(seed)
    pairs = random.normal(size=half) + 1j * random.normal(size=half)
    phases = np.exp(1j * distance * 50.0 ** (-np.arange(half) / half))
    bound = bound_by_parts(pairs, phases[None])[0]
    assert abs(pairs @ phases) <= bound * (1 + 1e-9)


def test_thresholds_show_how_much_the_definition_depends_on_them(planted, noise):
    """Component 3 bends the logits of head 0, component 5 bends half as much: between the two lies one threshold."""
    constant = torch.zeros(4, 1, LENGTH, DIM)
    constant[..., 3], constant[..., 5] = 1.5, 1.5 / 2**0.5
    found = components_of(with_vectors(planted, turned(constant), turned(constant)))
    table = pd.DataFrame(activation_columns(found, 0.125))
    assert set(table["layer"]) == {-1, 0}
    chosen = table[table["activated"]].groupby(["rule", "threshold", "layer"])["component"].apply(list)
    assert chosen["share", 0.125, -1] == chosen["share", 0.125, 0] == [3]
    assert chosen["share", 0.25, 0] == [3, 5]
    high, low = found.spread()[[3, 5]]
    assert high > 0.2 > low > 0.1
    assert chosen["logits", 0.1, 0] == [3, 5]
    assert chosen["logits", 0.2, 0] == [3]
    assert ("logits", 0.8, 0) not in chosen
    turning = table.groupby("component")["turns"].first()
    assert turning.to_numpy() == pytest.approx(FREQUENCIES.numpy() * LENGTH / (2 * np.pi))


def test_a_large_aimless_component_is_not_taken_for_one_that_knows_distance(planted, noise):
    documents = 24
    vectors = torch.zeros(documents, 1, LENGTH, DIM)
    vectors[..., 2] = 1.0
    vectors[..., [5, 13]] = 3.0 * torch.randn(documents, 1, LENGTH, 2, generator=noise)
    # Queries and keys of different draws: a token would match itself at distance 0.
    apart = torch.where(torch.arange(DIM) % 8 == 5, vectors.roll(1, dims=0), vectors)
    found = components_of(with_vectors(planted, turned(apart), turned(vectors)), chosen_from=documents)
    plain = found.contributions()[0, 0].std(axis=-1)
    assert plain[5] > plain[2]  # without the correction the aimless one would win
    assert activated_components(found.spread(), FREQUENCIES.numpy(), 0.125)[0] == [2]


def test_only_the_first_documents_choose(planted, noise):
    vectors = torch.zeros(4, 1, LENGTH, DIM)
    vectors[:2, ..., 1] = 1.0
    vectors[2:, ..., 4] = 5.0
    spread = components_of(with_vectors(planted, turned(vectors), turned(vectors)), chosen_from=2).spread()
    assert spread[1] > 0.1
    assert spread[4] == 0.0


def test_activated_components_leave_as_many_others():
    for turning, share, expected in ((8, 0.25, 2), (8, 0.01, 1), (8, 1.0, 4), (6, 0.25, 2), (1, 0.5, 0), (0, 0.5, 0)):
        frequencies = np.where(np.arange(8) < turning, 0.5 ** np.arange(8), 0.0)
        chosen, others = activated_components(np.arange(8.0), frequencies, share)
        assert chosen == list(range(turning - expected, turning))
        assert sorted(chosen + others) == list(range(turning))
        assert len(others) >= len(chosen)
