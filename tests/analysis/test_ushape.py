"""The U-shape index: what it says of attention of known shape."""

import numpy as np
import pytest
import torch

from hope import config
from hope.analysis.attention import query_ends
from hope.analysis.stream import observe_attention
from hope.analysis.ushape import FEWEST_KEYS, UShape, region_table
from hope.errors import UserError

SIZE = 64


def measures_of(model, ends=(SIZE,), queries=1):
    scope = model.scope(list(ends), queries)
    found = UShape(scope)
    observe_attention(model, model.tokens(), scope, [found])
    return found.measures()


def by_position(mass):
    """Return weights in which each query's mass on a key depends on ``mass(query, key)``."""
    weights = torch.tensor([[mass(query, key) for key in range(SIZE)] for query in range(SIZE)]).tril()
    return (weights / weights.sum(dim=-1, keepdim=True))[None, None]


@pytest.mark.parametrize("queries", [1, 8])
def test_with_the_fewest_keys_each_end_has_2_of_them_without_the_first_too(queries):
    length = FEWEST_KEYS + queries - 1
    assert query_ends(config.Analysis(multiples=[1.0], queries=queries), length) == [length]
    for keys in (length, length - 1):  # with the first key and without
        ends = region_table(keys, queries)[0, :, :2]
        assert (ends > 0).sum(dim=0).tolist() == [2, 2]
    with pytest.raises(UserError, match=f"leaves a query {FEWEST_KEYS - 1} keys; it needs {FEWEST_KEYS}"):
        query_ends(config.Analysis(multiples=[1.0], queries=queries), length - 1)


def test_uniform_attention_has_index_0(planted, attend_to):
    for name, value in measures_of(planted(attend_to(SIZE, None)), (20, SIZE), 5).items():
        assert value == pytest.approx(0.0 if "index" in name else 1.0, abs=1e-5)


def test_the_sign_is_that_of_decay_of_a_u_and_of_a_sink(planted):
    for mass, index, without_sink in (
        (lambda query, key: 0.98 ** (query - key), (-1, -0.2), (-1, -0.2)),
        (lambda query, key: 0.8 ** (query - key) + 0.8**key + 1e-9, (2, 4), (2, 4)),
        # A sink makes a U of a decay, but not without the first key.
        (lambda query, key: 0.95 ** (query - key) + 10.0 * (key == 0), (0.1, 4), (-1, -0.1)),
    ):
        found = measures_of(planted(by_position(mass)))
        for name, (low, high) in (("index", index), ("index_without_sink", without_sink)):
            assert low < found[name].item() < high


def test_a_sink_that_takes_all_but_nothing_leaves_the_rest_as_it_is(planted):
    decay = planted(by_position(lambda query, key: 0.9 ** (query - key)))
    sunk = planted(by_position(lambda query, key: 0.9 ** (query - key)))
    sunk.queries = sunk.queries.clone()
    sunk.queries[..., 0] = 900.0  # a logit above 100: the other weights have no digits left beside it
    for name in ("first_without_sink", "index_without_sink"):
        assert measures_of(sunk)[name] == pytest.approx(measures_of(decay)[name], abs=1e-4)
    assert measures_of(sunk)["near"].item() == pytest.approx(0.0, abs=1e-6)


def test_densities_are_those_of_the_definition(planted):
    weights = torch.rand(2, 2, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).tril() ** 4
    weights = weights / weights.sum(dim=-1, keepdim=True)
    end, queries = 51, 3
    found = measures_of(planted(weights.float()), (end,), queries)

    def densities(row):
        keys = len(row)
        regions = row[: keys // 8], row[-(keys // 8) :], row[keys // 4 : keys - keys // 4]
        return np.array([region.mean() * keys for region in regions])

    def index(parts):
        return min(parts[0], parts[1]) - parts[2]

    for document in range(2):
        for head in range(2):
            rows = [weights[document, head, query, : query + 1].numpy() for query in range(end - queries, end)]
            whole = np.array([densities(row) for row in rows])
            rest = np.array([densities(row[1:] / row[1:].sum()) for row in rows])
            first, near, middle = whole.mean(axis=0)
            indices = [np.mean([index(row) for row in kind]) for kind in (whole, rest)]
            expected = first, rest[:, 0].mean(), near, middle, *indices
            got = [found[name][0, 0, head, document] for name in found]
            np.testing.assert_allclose(got, expected, atol=1e-4)


def test_queries_that_look_to_either_end_make_no_u_together(planted, attend_to):
    """Half of the queries rest on early keys, half on the nearest: no query is U-shaped."""
    found = measures_of(planted(attend_to(SIZE, lambda query: 3 if query % 2 else query)), queries=4)
    for name in ("index", "index_without_sink"):
        assert found[name].item() == pytest.approx(0.0, abs=1e-5)
    assert min(found["first"].item(), found["near"].item()) > 3.5


def test_the_table_has_a_row_for_each_document_and_head(planted, attend_to):
    model = planted(attend_to(SIZE, lambda query: 0).expand(3, 2, SIZE, SIZE))
    found = UShape(model.scope([32, SIZE], 1))
    observe_attention(model, model.tokens(), found.scope, [found])
    columns = found.columns("initial", np.array([4, 7, 9]))
    assert len(columns["index"]) == 2 * 1 * 2 * 3
    assert columns["document"].tolist() == [4, 7, 9] * 4
    assert columns["query"].tolist() == [31] * 6 + [63] * 6
    assert columns["first"] == pytest.approx(8.0, abs=1e-5)  # all mass in an eighth of the keys
