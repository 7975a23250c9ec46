"""The recent decoy: two bindings, and questions about one of them."""

from typing import NamedTuple

import numpy as np
import pytest

from hope.seeding import generator
from hope.tasks import Example
from tests.tasks.small import QUERY, SEPARATOR, task


class Parts(NamedTuple):
    """What an example of the task is made of: starts of the bindings and of the questions, and which is asked for."""

    example: Example
    first: int
    second: int
    questions: list[int]
    asked: int


def parts(length: int = 40, seed: int = 0, **settings) -> Parts:
    example = task("decoy", **settings).example(generator("test", seed), length)
    first, second = np.flatnonzero(example.tokens == SEPARATOR).tolist()
    questions = np.flatnonzero(example.tokens == QUERY).tolist()
    topics = example.tokens[[first + 1, second + 1]].tolist()
    return Parts(example, first, second, questions, topics.index(example.tokens[questions[0] + 1]))


@pytest.mark.parametrize("asked", ["first", "second", "either"])
@pytest.mark.parametrize("length", [9, 12, 40, 129])
def test_the_answer_is_the_value_that_was_bound_to_the_topic_asked_for(asked, length):
    for seed in range(20):
        found = parts(length, seed, asked=asked)
        tokens, values = found.example.tokens, found.example.tokens[[found.first + 2, found.second + 2]]
        (answer,) = np.flatnonzero(found.example.answer)
        assert answer == found.questions[0] + 2
        assert tokens[answer] == values[found.asked]
        assert found.example.candidates.tolist() == values.tolist() and found.example.chance == 0.5
        bound = tokens[[found.first + 1, found.first + 2, found.second + 1, found.second + 2]]
        assert len(set(bound)) == 4
        # Nothing but the bindings and the questions is of the alphabet.
        alphabet, filler = task("decoy").sets
        rest = np.delete(
            tokens, [place + step for place in (found.first, found.second, *found.questions) for step in range(3)]
        )
        assert np.isin(rest, filler).all() and not np.isin(bound, filler).any() and np.isin(bound, alphabet).all()


def test_which_binding_is_asked_for():
    asked = {
        which: [parts(seed=seed, asked=which).asked for seed in range(400)] for which in ("first", "second", "either")
    }
    assert set(asked["first"]) == {0} and set(asked["second"]) == {1}
    assert np.mean(asked["either"]) == pytest.approx(0.5, abs=4 * 0.5 / 20)


def test_so_much_filler_stands_between_the_second_binding_and_the_question():
    def gaps(**settings) -> set[int]:
        found = [parts(24, seed, **settings) for seed in range(400)]
        return {one.questions[0] - one.second - 3 for one in found}

    assert gaps() == set(range(5))
    assert gaps(recent=0) == {0}
    assert gaps(recent=None) == set(range(24 - 9 + 1)) == gaps(recent=99)


def test_the_first_binding_stands_anywhere_before_the_second():
    starts = {parts(20, seed, recent=0).first for seed in range(400)}
    assert starts == set(range(20 - 9 + 1))


def test_a_question_that_is_asked_again_is_taught_and_not_scored():
    counts = set()
    for seed in range(200):
        found = parts(64, seed, questions=5)
        tokens, places = found.example.tokens, np.array(found.questions)
        counts.add(len(places))
        assert places.tolist() == list(range(64 - 3 * len(places), 64, 3))
        assert (tokens[places + 1] == tokens[places[0] + 1]).all() and (
            tokens[places + 2] == tokens[places[0] + 2]
        ).all()
        assert np.flatnonzero(found.example.lessons).tolist() == (places + 2).tolist()
        assert np.flatnonzero(found.example.answer).tolist() == [places[0] + 2]
    assert counts == {1, 2, 3, 4, 5}


def test_a_short_prompt_has_fewer_questions_and_both_bindings():
    assert {len(parts(13, seed, questions=5).questions) for seed in range(100)} == {1, 2}
