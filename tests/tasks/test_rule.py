"""The rule: every pair of a prompt is one shift, and no input comes twice."""

import numpy as np
import pytest

from hope.errors import UserError
from hope.seeding import generator
from hope.tasks.rule import Rule
from tests.tasks.small import task


def pairs_of(rule, example) -> np.ndarray:
    """Return the pairs of an example as places in the circle, int64 ``[pairs, 2]``."""
    place = {int(token): number for number, token in enumerate(rule.sets[0])}
    return np.array([place[int(token)] for token in example.tokens if int(token) in place]).reshape(-1, 2)


@pytest.mark.parametrize("length", [4, 7, 16, 33, 100])
def test_an_output_is_its_input_shifted_by_one_amount_for_the_whole_prompt(length):
    rule = task("rule", alphabet=16)
    for seed in range(20):
        example = rule.example(generator("test", seed), length)
        pairs = pairs_of(rule, example)
        assert len({(output - input_) % 16 for input_, output in pairs}) == 1
        # No input comes twice, so there is nothing to be copied.
        assert len(set(pairs[:, 0])) == len(pairs) == min(16, length // 2)
        # Every output but the first: from that one the shift is known.
        in_pairs = np.flatnonzero(np.isin(example.tokens, rule.sets[0]))
        assert np.flatnonzero(example.answer).tolist() == in_pairs[3::2].tolist()
        assert np.array_equal(example.lessons, example.answer)
        assert example.chance == 1 / 16


def test_a_prompt_longer_than_the_circle_is_filled_between_the_pairs():
    rule = task("rule", alphabet=4, shifts=3)
    tokens = rule.example(generator("test"), 24).tokens
    assert np.isin(tokens, rule.sets[1]).sum() == 24 - 2 * 4
    firsts = set()
    for seed in range(40):
        prompt = rule.example(generator("test", seed), 24).tokens
        firsts.add(int(np.flatnonzero(np.isin(prompt, rule.sets[0]))[0]))
    assert len(firsts) > 3


@pytest.mark.parametrize("shifts", [1, 5, 15])
def test_every_shift_up_to_the_largest_is_drawn_and_never_none(shifts):
    rule = task("rule", shifts=shifts)
    first = [pairs_of(rule, rule.example(generator("test", seed), 8))[0] for seed in range(400)]
    assert {int(output - input_) % 16 for input_, output in first} == set(range(1, shifts + 1))


def test_the_circle_is_the_same_in_every_prompt():
    # Else nothing that training teaches of the order would serve another prompt.
    one, other = task("rule"), task("rule")
    assert np.array_equal(one.sets[0], other.sets[0])
    shift_by_one = task("rule", shifts=1)
    follows = {}
    for seed in range(60):
        example = shift_by_one.example(generator("test", seed), 16)
        for input_, output in example.tokens.reshape(-1, 2).tolist():
            assert follows.setdefault(input_, output) == output
    assert len(follows) == 16


def test_a_whole_turn_is_no_shift():
    with pytest.raises(ValueError, match="shifts 16 is not below alphabet 16: a whole turn is no shift"):
        Rule(shifts=16)
    with pytest.raises(UserError, match="rule needs prompts of 4 tokens or more, not 3"):
        task("rule").example(generator("test"), 3)
