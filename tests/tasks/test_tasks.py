"""The retrieval tasks: what an example is, and what a guess scores."""

import numpy as np
import pytest

from hope import config
from hope.errors import UserError
from hope.seeding import generator
from hope.tasks import Vocabulary, build_task

VOCABULARY = Vocabulary(600, {"start": 0, "end": 1, "separator": 2, "query": 3})
TASKS = {name: build_task(name, config.Tasks(), VOCABULARY) for name in config.TASKS}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("length", [5, 16, 33, 128, 512])
def test_an_example_is_as_long_as_asked_and_depends_on_the_seed_alone(name, length):
    first, again, other = (TASKS[name].example(generator("test", seed), length) for seed in (1, 1, 2))
    assert first.tokens.shape == first.answer.shape == (length,)
    assert np.array_equal(first.tokens, again.tokens)
    assert not np.array_equal(first.tokens, other.tokens)
    assert first.answer.any() and not first.answer[0]
    assert np.isin(first.tokens[first.answer], first.candidates).all()


@pytest.mark.parametrize("length", [16, 33, 128])
def test_copy_repeats_the_string_before_the_separator(length):
    example = TASKS["copy"].example(generator("test"), length)
    (at,) = np.flatnonzero(example.tokens == 2)
    span = length - at - 1
    assert np.array_equal(example.tokens[at - span : at], example.tokens[at + 1 :])
    assert example.answer.sum() == span - 1 and example.answer[-(span - 1) :].all()


@pytest.mark.parametrize("length", [16, 33, 128])
def test_recall_is_answered_by_the_value_bound_in_the_context(length):
    example = TASKS["recall"].example(generator("test"), length)
    asked = np.flatnonzero(example.tokens == 3)
    assert len(asked) == min(4, length // 5) == example.answer.sum()
    context = example.tokens[: asked[0]]
    for query in asked:
        (bound,) = np.flatnonzero(context == example.tokens[query + 1])
        assert context[bound + 1] == example.tokens[query + 2]
        assert example.answer[query + 2]


@pytest.mark.parametrize("name", TASKS)
def test_a_guess_among_the_candidates_scores_the_stated_chance(name):
    task, random = TASKS[name], generator("guess")
    hits = []
    for index in range(400):
        example = task.example(generator("test", index), 64)
        answers = example.tokens[example.answer]
        hits.extend(random.choice(example.candidates, len(answers)) == answers)
    chance = task.chance(64)
    error = np.sqrt(chance * (1 - chance) / len(hits))
    assert np.mean(hits) == pytest.approx(chance, abs=4 * error)


def test_alphabets_of_a_task_are_disjoint_and_hold_no_special_token():
    recall = TASKS["recall"]
    together = np.concatenate([recall.keys, recall.values, recall.filler])
    assert len(set(together)) == len(together)
    assert not set(together) & set(VOCABULARY.special.values())


def test_what_does_not_fit_is_one_clear_line():
    with pytest.raises(UserError, match="copy needs prompts of 5 tokens or more, not 4"):
        TASKS["copy"].example(generator("test"), 4)
    with pytest.raises(UserError, match="tasks.copy: asks for 64 distinct tokens, but the vocabulary has 16"):
        build_task("copy", config.Tasks(), Vocabulary(20, VOCABULARY.special))
