"""Frozen components: what they do, against models that never had them."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from hope.analysis.intervention import RANDOM_SETS, Frozen, frozen_sets, intervene, write_intervention

QUERIES = 4


@pytest.fixture
def tokens():
    return torch.randint(0, 64, (3, 65), generator=torch.Generator().manual_seed(2))


def plain_losses(model, tokens):
    with torch.no_grad():
        logits = model.logits(model(tokens[:, :-1]))
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none").numpy()


def test_nothing_frozen_gives_the_plain_losses(decoder, tokens):
    model = decoder("rope")
    losses = plain_losses(model, tokens)
    found = intervene(model, tokens, QUERIES, [])
    np.testing.assert_allclose(found["loss_within"], losses[:, :32].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found["loss_past"], losses[:, 32:].mean(axis=1), rtol=1e-5)


def test_all_frozen_is_a_model_without_positions(decoder, tokens):
    rope, none = decoder("rope"), decoder("none")
    frozen = intervene(rope, tokens, QUERIES, list(range(8)))
    losses = plain_losses(none, tokens)
    np.testing.assert_allclose(frozen["loss_within"], losses[:, :32].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(frozen["loss_past"], losses[:, 32:].mean(axis=1), rtol=1e-5)
    free = intervene(rope, tokens, QUERIES, [])
    assert np.abs(free["index_without_sink"] - frozen["index_without_sink"]).min() > 1e-4


def test_the_slow_ones_frozen_is_hope(decoder, tokens):
    rope, hope = decoder("rope"), decoder("hope")
    slow = torch.nonzero(hope.encoding.frequencies == 0).flatten().tolist()
    assert 0 < len(slow) < 8
    frozen, built = intervene(rope, tokens, QUERIES, slow), intervene(hope, tokens, QUERIES, [])
    for name in built:
        np.testing.assert_allclose(frozen[name], built[name], rtol=1e-4, atol=1e-5)


def test_the_model_is_left_as_it_was(decoder, tokens):
    model = decoder("rope")
    before = model.encoding.frequencies.clone()
    intervene(model, tokens, QUERIES, [0, 3])
    assert torch.equal(model.encoding.frequencies, before)


def test_past_ends_where_the_tokens_or_two_lengths_end(decoder):
    model = decoder("rope")
    tokens = torch.randint(0, 64, (2, 129), generator=torch.Generator().manual_seed(3))
    losses = plain_losses(model, tokens)
    for size, stop in ((129, 64), (41, 40)):
        found = intervene(model, tokens[:, :size], QUERIES, [])
        np.testing.assert_allclose(found["loss_past"], losses[:, 32:stop].mean(axis=1), rtol=1e-5)
    assert "loss_past" not in intervene(model, tokens[:, :33], QUERIES, [])


def test_random_sets_are_distinct_and_of_the_others():
    none, activated, random = frozen_sets([2, 5], [0, 1, 3, 4, 6, 7])
    assert none.sets == [[]] and activated.sets == [[2, 5]]
    assert len(random.sets) == RANDOM_SETS == len({tuple(chosen) for chosen in random.sets})
    for chosen in random.sets:
        assert len(set(chosen)) == 2 and set(chosen) <= {0, 1, 3, 4, 6, 7}
    assert frozen_sets([2, 5], [0, 1, 3, 4, 6, 7])[2] == random
    assert len(frozen_sets([0, 1], [2, 3, 4])[2].sets) == math.comb(3, 2)


def test_the_table_averages_the_random_sets(decoder, tokens, folder):
    model = decoder("rope")
    groups = [Frozen("none", [[]]), Frozen("activated", [[1, 2]]), Frozen("random", [[0, 4], [3, 5]])]
    write_intervention(folder / "table.parquet", model, tokens, np.array([5, 6, 9]), QUERIES, groups)
    table = pd.read_parquet(folder / "table.parquet")
    assert len(table) == 3 * 3 * 3
    by_set = table.groupby("set")["components"].first()
    assert [list(by_set[name]) for name in ("none", "activated", "random")] == [[], ["1", "2"], ["0+4", "3+5"]]
    single = [intervene(model, tokens, QUERIES, chosen)["loss_past"] for chosen in ([0, 4], [3, 5])]
    rows = table[(table["set"] == "random") & (table["measure"] == "loss_past")]
    assert rows["document"].tolist() == [5, 6, 9]
    np.testing.assert_allclose(rows["value"], np.mean(single, axis=0))


def test_nothing_to_freeze_gives_a_table_without_rows(decoder, tokens, folder):
    write_intervention(folder / "table.parquet", decoder("rope"), tokens, np.array([5, 6, 9]), QUERIES, [])
    table = pd.read_parquet(folder / "table.parquet")
    assert len(table) == 0
    assert list(table) == ["document", "set", "components", "measure", "value"]
