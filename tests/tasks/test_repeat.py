"""Repetition: what follows a token, and how long the strings are."""

import numpy as np
import pytest

from hope.seeding import generator
from tests.tasks.small import QUERY, SEPARATOR, task


def period_of(example) -> int:
    """Return the period of an example: its first answer is the second token of the first repetition."""
    return int(np.argmax(example.answer)) - 1


@pytest.mark.parametrize("length", [8, 16, 33, 128])
def test_what_followed_a_token_once_follows_it_again(length):
    for seed in range(20):
        example = task("repeat").example(generator("test", seed), length)
        period = period_of(example)
        assert np.array_equal(example.tokens[period:], example.tokens[:-period])
        # All of the repetitions but their very first token, which nothing announces.
        assert np.flatnonzero(example.answer).tolist() == list(range(period + 1, length))
        assert np.array_equal(example.lessons, example.answer)
        assert not set(example.tokens) & {SEPARATOR, QUERY}


def test_within_a_period_no_token_comes_twice_as_far_as_the_alphabet_goes():
    repeat = task("repeat", alphabet=6, shortest_period=3)
    for seed in range(60):
        example = repeat.example(generator("test", seed), 24)
        period = period_of(example)
        distinct = len(set(example.tokens))
        assert distinct == period if period <= 6 else distinct <= 6
        assert set(example.tokens) <= set(example.candidates) and example.chance == 1 / 6


@pytest.mark.parametrize(
    ("over", "length", "shortest", "longest"),
    [
        ({}, 32, 4, 16),
        ({"shortest_period": 2, "longest_period": 5}, 32, 2, 5),
        ({"longest_period": 32}, 16, 4, 8),  # half of the prompt, at most
        ({"shortest_period": 7, "longest_period": 3}, 32, 7, 7),
    ],
)
def test_every_period_of_the_range_is_drawn_and_no_other(over, length, shortest, longest):
    repeat = task("repeat", **over)
    periods = {period_of(repeat.example(generator("test", seed), length)) for seed in range(400)}
    assert periods == set(range(shortest, longest + 1))


def test_every_token_of_the_alphabet_may_start_a_string():
    repeat = task("repeat", alphabet=8)
    starts = {int(repeat.example(generator("test", seed), 16).tokens[0]) for seed in range(200)}
    assert starts == set(repeat.sets[0].tolist())
