"""The recent decoy: two bindings, and questions about one of them."""

from typing import NamedTuple

import numpy as np
import pytest

from hope.tasks import Example
from tests.tasks.small import QUERY, SEPARATOR, draw, task


class Parts(NamedTuple):
    """The parts of an example: starts of the bindings and of the questions, and the binding asked for."""

    example: Example
    first: int
    second: int
    questions: list[int]
    asked: int


def parts(length: int = 40, seed: int = 0, **settings) -> Parts:
    example = draw("decoy", length, seed, **settings)
    first, second = np.flatnonzero(example.tokens == SEPARATOR).tolist()
    questions = np.flatnonzero(example.tokens == QUERY).tolist()
    topics = example.tokens[[first + 1, second + 1]].tolist()
    return Parts(example, first, second, questions, topics.index(example.tokens[questions[0] + 1]))


@pytest.mark.parametrize("length", [9, 12, 40, 129])
def test_the_answer_is_the_value_that_was_bound_to_the_topic_asked_for(length):
    alphabet, filler = task("decoy").sets
    for seed in range(30):
        found = parts(length, seed, asked=("first", "second", "either")[seed % 3])
        tokens, values = found.example.tokens, found.example.tokens[[found.first + 2, found.second + 2]]
        (answer,) = np.flatnonzero(found.example.answer)
        assert answer == found.questions[0] + 2
        assert tokens[answer] == values[found.asked]
        assert found.example.candidates.tolist() == values.tolist() and found.example.chance == 0.5
        bound = tokens[[found.first + 1, found.first + 2, found.second + 1, found.second + 2]]
        assert len(set(bound)) == 4 and np.isin(bound, alphabet).all() and not np.isin(bound, filler).any()
        # All but the bindings and the questions is filler.
        places = [place + step for place in (found.first, found.second, *found.questions) for step in range(3)]
        assert np.isin(np.delete(tokens, places), filler).all()


def test_which_binding_is_asked_for():
    first, second, either = (
        [parts(12, seed, asked=asked).asked for seed in range(400)] for asked in ("first", "second", "either")
    )
    assert set(first) == {0} and set(second) == {1}
    assert np.mean(either) == pytest.approx(0.5, abs=4 * 0.5 / 20)


def test_bindings_stand_anywhere_within_the_settings():
    def gaps(**settings) -> set[int]:
        found = [parts(18, seed, **settings) for seed in range(300)]
        return {one.questions[0] - one.second - 3 for one in found}

    assert gaps() == set(range(5))
    assert gaps(recent=0) == {0}
    assert gaps(recent=None) == set(range(18 - 9 + 1)) == gaps(recent=99)
    assert {parts(18, seed, recent=0).first for seed in range(300)} == set(range(18 - 9 + 1))


def test_a_question_that_is_asked_again_is_taught_and_not_scored():
    counts = set()
    for seed in range(100):
        found = parts(64, seed, questions=5)
        tokens, places = found.example.tokens, np.array(found.questions)
        counts.add(len(places))
        assert places.tolist() == list(range(64 - 3 * len(places), 64, 3))
        assert all(len(set(tokens[places + step])) == 1 for step in (1, 2))
        assert np.flatnonzero(found.example.lessons).tolist() == (places + 2).tolist()
        assert np.flatnonzero(found.example.answer).tolist() == [places[0] + 2]
    assert counts == {1, 2, 3, 4, 5}
    # A short prompt has fewer questions and both bindings.
    assert {len(parts(13, seed, questions=5).questions) for seed in range(100)} == {1, 2}
