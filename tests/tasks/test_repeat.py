"""Strings that come again: repetition and induction."""

import numpy as np
import pytest

from hope.tasks import Example
from tests.tasks.small import SPECIAL, draw, task


def period_of(example: Example) -> int:
    """Return the period of an example: its first answer is the second token of the first repetition."""
    return int(np.argmax(example.answer)) - 1


@pytest.mark.parametrize(("name", "length"), [("repeat", 8), ("repeat", 33), ("repeat", 128), ("induction", 128)])
def test_what_followed_a_token_once_follows_it_again(name, length):
    for seed in range(20):
        example = draw(name, length, seed)
        period = period_of(example)
        assert np.array_equal(example.tokens[period:], example.tokens[:-period])
        # All of the repetitions but their very first token, which nothing announces.
        assert np.flatnonzero(example.answer).tolist() == list(range(period + 1, length))
        assert np.array_equal(example.lessons, example.answer)
        assert not set(example.tokens) & set(SPECIAL.values())


def test_within_a_period_no_token_comes_twice_as_far_as_the_alphabet_goes():
    for seed in range(60):
        example = draw("repeat", 24, seed, alphabet=6, shortest_period=3)
        period, distinct = period_of(example), len(set(example.tokens))
        assert distinct == period if period <= 6 else distinct <= 6
        assert set(example.tokens) <= set(example.candidates) and example.chance == 1 / 6


@pytest.mark.parametrize(
    ("over", "length", "shortest", "longest"),
    [
        ({}, 24, 4, 12),
        ({"shortest_period": 2, "longest_period": 5}, 32, 2, 5),
        ({"longest_period": 32}, 16, 4, 8),  # half of the prompt, at most
        ({"shortest_period": 7, "longest_period": 7}, 32, 7, 7),
    ],
)
def test_every_period_of_the_range_is_drawn_and_no_other(over, length, shortest, longest):
    periods = {period_of(draw("repeat", length, seed, **over)) for seed in range(200)}
    assert periods == set(range(shortest, longest + 1))


def test_every_token_of_the_alphabet_may_start_a_string():
    starts = {int(draw("repeat", 16, seed, alphabet=8).tokens[0]) for seed in range(150)}
    assert starts == set(task("repeat", alphabet=8).sets[0].tolist())


def test_induction_draws_from_the_whole_vocabulary_with_a_period_of_each_prompt():
    examples = [draw("induction", 128, seed) for seed in range(60)]
    periods = {period_of(example) for example in examples}
    assert len(periods) > 15 and min(periods) >= 32 and max(periods) <= 64
    assert all(len(set(example.tokens)) == period_of(example) for example in examples)
    assert len(set(np.concatenate([example.tokens for example in examples]))) > 590
