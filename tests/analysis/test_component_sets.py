"""Which components an intervention changes."""

import math

import numpy as np
import pytest
import torch

from hope.analysis.component_sets import DRAWS, ComponentSet, component_sets, matched_sets, random_sets
from hope.analysis.components import Components
from hope.analysis.stream import Scope, observe_attention

OTHERS = [0, 1, 3, 4, 6, 7]


def test_random_sets_are_distinct_and_of_the_others():
    found = random_sets(2, OTHERS)
    assert len(found) == DRAWS == len({tuple(chosen) for chosen in found})
    for chosen in found:
        assert len(set(chosen)) == 2 and set(chosen) <= set(OTHERS) and sorted(chosen) == chosen
    assert random_sets(2, OTHERS) == found
    assert len(random_sets(2, [2, 3, 4])) == math.comb(3, 2)


def test_matched_sets_carry_as_much_variance():
    shares = np.array([0.30, 0.05, 0.10, 0.20, 0.02, 0.15, 0.08, 0.10])
    others = [0, 1, 2, 4, 6, 7]
    every = [[component for bit, component in enumerate(others) if number >> bit & 1] for number in range(1, 64)]
    nearest = sorted(abs(shares[chosen].sum() - 0.35) for chosen in every)[:DRAWS]  # 0.35 is that of 3 and 5
    found = matched_sets([3, 5], others, shares)
    assert found == matched_sets([3, 5], others, shares)
    assert len(found) == DRAWS == len({tuple(chosen) for chosen in found})
    assert sorted(abs(shares[chosen].sum() - 0.35) for chosen in found) == pytest.approx(nearest, abs=0.02)
    assert not {3, 5} & {component for chosen in found for component in chosen}


def test_too_little_variance_is_matched_by_all_there_is():
    assert matched_sets([0], [1, 2, 3], np.array([0.7, 0.1, 0.1, 0.1]))[0] == [1, 2, 3]
    assert matched_sets([], [1, 2, 3], np.ones(4) / 4) == []


def measured(model, tokens, chosen_from=2):
    scope = Scope(model.shape.layers, model.shape.heads, [32], 4, len(tokens))
    components = Components(scope, model.encoding.frequencies.numpy(), 32, chosen_from)
    observe_attention(model, tokens, scope, [components])
    return components


@pytest.fixture
def tokens():
    return torch.randint(0, 64, (5, 64), generator=torch.Generator().manual_seed(2))


def test_slow_and_fast_part_at_one_turn_within_the_training_length(decoder, tokens):
    groups = {group.name: group for group in component_sets(measured(decoder("rope"), tokens), 0.25)}
    assert set(groups) == {"activated", "slow", "fast", "random", "matched"}
    once = [j for j in range(8) if 10_000 ** (-j / 8) * 32 >= 2 * math.pi]
    assert groups["fast"].sets == [once]
    assert groups["slow"].sets == [[j for j in range(8) if j not in once]]
    assert len(groups["activated"].sets[0]) == 2
    for chosen in (*groups["random"].sets, *groups["matched"].sets):
        assert not set(chosen) & set(groups["activated"].sets[0])
    assert groups["slow"].variance_share + groups["fast"].variance_share == pytest.approx(1.0)


def test_components_that_stand_still_are_slow_and_nothing_else(decoder, tokens):
    groups = {group.name: group for group in component_sets(measured(decoder("hope"), tokens), 0.5)}
    still = [j for j in range(8) if 10_000 ** (-j / 8) * 32 < 2 * math.pi]
    assert groups["slow"].sets == [still]
    for name in ("activated", "fast", "random", "matched"):
        assert not {component for chosen in groups[name].sets for component in chosen} & set(still)


def test_the_documents_that_are_tested_have_no_say(decoder, tokens):
    """Whatever the last three documents are, the sets and shares are those of the first two."""
    model = decoder("rope")
    changed = torch.cat([tokens[:2], tokens[2:].flip(1)])
    assert component_sets(measured(model, tokens), 0.25) == component_sets(measured(model, changed), 0.25)
    alone = measured(model, tokens[:2])
    np.testing.assert_allclose(
        measured(model, tokens).chosen_shares(), np.nanmean(alone.variance_shares(), axis=(0, 1)), rtol=1e-5
    )


def test_labels_name_the_components_of_a_set_or_of_each_draw():
    assert ComponentSet("activated", [[1, 12]]).labels() == ["1", "12"]
    assert ComponentSet("random", [[1, 12], [3]]).labels() == ["1+12", "3"]
    assert ComponentSet("none", [[]]).labels() == []
