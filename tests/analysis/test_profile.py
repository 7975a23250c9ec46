"""Attention mass by distance and by key: planted patterns and sums."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hope.analysis.bins import bin_edges
from hope.analysis.profile import Profile
from hope.analysis.stream import observe_attention

SIZE = 40


def profile_of(model, ends, queries):
    scope = model.scope(ends, queries)
    found = Profile(scope)
    observe_attention(model, model.tokens(), scope, [found])
    return found


def test_mass_is_that_of_every_query_counted_by_hand(planted):
    queries, end = 3, 17
    weights = torch.rand(2, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(3)).tril()
    weights = weights / weights.sum(dim=-1, keepdim=True)
    found = profile_of(planted(weights), [end], queries)
    expected = {"distance": np.zeros((2, end)), "key": np.zeros((2, end))}
    for document in range(2):
        for head in range(2):
            for query in range(end - queries, end):
                for key in range(query + 1):
                    share = float(weights[document, head, query, key]) / (2 * queries)
                    expected["distance"][head, query - key] += share
                    expected["key"][head, key] += share
    for axis, mass in expected.items():
        np.testing.assert_allclose(found.mass(end, axis)[0], mass, atol=1e-6)


def test_the_table_holds_all_mass_once(planted):
    weights = torch.rand(1, 2, 700, 700, generator=torch.Generator().manual_seed(4)).tril()
    columns = profile_of(planted(weights / weights.sum(dim=-1, keepdim=True)), [64, 700], 8).columns("trained")
    assert set(columns) == {"subject", "layer", "head", "query", "axis", "start", "end", "mass"}
    for head in range(2):
        for query, bins in ((63, 64), (699, 512)):
            for axis in ("distance", "key"):
                rows = (columns["head"] == head) & (columns["query"] == query) & (columns["axis"] == axis)
                assert rows.sum() == bins
                assert columns["mass"][rows].sum() == pytest.approx(1.0, abs=1e-5)


@settings(deadline=None, max_examples=200)
@given(count=st.integers(1, 5_000), fine=st.integers(1, 200))
def test_bins_cover_everything_once(count, fine):
    edges = bin_edges(count, fine)
    widths = np.diff(edges)
    assert (edges[0], edges[-1]) == (0, count)
    assert widths.min() >= 1
    assert len(widths) <= max(4 * fine, 1)
    assert (widths[:fine] == 1).all() and (widths[-fine:] == 1).all()
    assert count > 4 * fine or widths.max() == 1
