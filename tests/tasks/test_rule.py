"""The rule: every pair of a prompt is one shift, and no input comes twice."""

import numpy as np
import pytest

from hope.tasks import Example
from hope.tasks.rule import Rule
from tests.tasks.small import draw, task


def pairs_of(example: Example, **settings) -> np.ndarray:
    """Return the pairs of an example as places in the circle, int64 ``[pairs, 2]``."""
    place = {int(token): number for number, token in enumerate(task("rule", **settings).sets[0])}
    return np.array([place[int(token)] for token in example.tokens if int(token) in place]).reshape(-1, 2)


@pytest.mark.parametrize("length", [4, 7, 33, 100])
def test_an_output_is_its_input_shifted_by_one_amount_for_the_whole_prompt(length):
    circle, filler = task("rule").sets
    firsts = set()
    for seed in range(20):
        example = draw("rule", length, seed)
        pairs, in_pairs = pairs_of(example), np.flatnonzero(np.isin(example.tokens, circle))
        assert len({(output - input_) % 16 for input_, output in pairs}) == 1
        # No input comes twice, so there is nothing to be copied; the rest is filler between the pairs.
        assert len(set(pairs[:, 0])) == len(pairs) == min(16, length // 2)
        assert np.isin(example.tokens, filler).sum() == length - 2 * len(pairs)
        firsts.add(int(in_pairs[0]))
        # Every output but the first: from that one the shift is known.
        assert np.flatnonzero(example.answer).tolist() == in_pairs[3::2].tolist()
        assert np.array_equal(example.lessons, example.answer)
        assert example.chance == 1 / 16
    assert len(firsts) > 3 or length < 100


@pytest.mark.parametrize("shifts", [1, 5, 15])
def test_every_shift_up_to_the_largest_is_drawn_and_never_none(shifts):
    first = [pairs_of(draw("rule", 8, seed, shifts=shifts))[0] for seed in range(200)]
    assert {int(output - input_) % 16 for input_, output in first} == set(range(1, shifts + 1))


def test_a_whole_turn_is_no_shift():
    with pytest.raises(ValueError, match="shifts 16 is not below alphabet 16: a whole turn is no shift"):
        Rule(shifts=16)
