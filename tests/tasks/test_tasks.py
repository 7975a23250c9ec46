"""The retrieval tasks: what an example is, and what a guess scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hope import config
from hope.errors import UserError
from hope.seeding import generator
from hope.tasks import BUILT_IN, Vocabulary, build_task
from hope.tasks.built_in import scatter
from tests.tasks.small import QUERY, SEPARATOR, SPECIAL, Text, draw, is_stretch, task

TASKS = {name: task(name) for name in config.TASKS}
LENGTHS = pytest.mark.parametrize("length", [16, 33, 128])


def follows(tokens: np.ndarray, at: int, before: int) -> bool:
    """Return whether the token at ``at`` followed the ``before`` tokens in front of it once before."""
    string = tokens[at - before : at + 1].tolist()
    return any(tokens[start : start + before + 1].tolist() == string for start in range(at - before))


@pytest.mark.parametrize("name", TASKS)
@LENGTHS
def test_an_example_is_as_long_as_asked_and_depends_on_the_seed_alone(name, length):
    first, again, other = (TASKS[name].example(generator("test", seed), length) for seed in (1, 1, 2))
    assert first.tokens.shape == first.answer.shape == first.lessons.shape == (length,)
    assert first.tokens.dtype == np.int64 and first.answer.dtype == bool
    assert np.array_equal(first.tokens, again.tokens) and np.array_equal(first.answer, again.answer)
    assert not np.array_equal(first.tokens, other.tokens)
    assert first.answer.any() and not first.answer[0] and not first.lessons[0]
    assert not (first.answer & ~first.lessons).any()
    assert np.isin(first.tokens[first.lessons], first.candidates).all()
    # The context alone gives each answer; but a topic of the digression may come in its text, and a rule is no copy.
    for at in np.flatnonzero(first.lessons) if name not in ("digression", "rule") else ():
        before = 2 if name in ("passkey", "needle") and first.answer[at - 1] else 1
        assert follows(first.tokens, at, before)


@pytest.mark.parametrize("name", TASKS)
def test_a_config_knows_the_shortest_prompt(name):
    shortest = config.Tasks().shortest(name)
    assert TASKS[name].example(generator("test"), shortest).answer.any()
    with pytest.raises(UserError, match=f"{name} needs prompts of {shortest} tokens or more, not {shortest - 1}"):
        TASKS[name].example(generator("test"), shortest - 1)


@pytest.mark.parametrize("name", TASKS)
def test_the_shortest_prompt_has_answers_at_the_smallest_settings_too(name):
    bounds = {
        key: getattr(part, "ge", None) for key, field in BUILT_IN[name].model_fields.items() for part in field.metadata
    }
    smallest = {key: bound for key, bound in bounds.items() if isinstance(bound, int) and key != "alphabet"}
    for chosen in ({}, smallest):
        one = task(name, **chosen)
        for seed in range(20):
            example = one.example(generator("test", seed), one.settings.shortest)
            assert example.answer.any() and example.lessons.any()


@pytest.mark.parametrize("name", TASKS)
def test_a_guess_among_the_candidates_scores_the_stated_chance(name):
    random, hits, chances = generator("guess"), [], []
    for index in range(200):
        example = TASKS[name].example(generator("test", index), 64)
        answers = example.tokens[example.answer]
        hits.extend(random.choice(example.candidates, len(answers)) == answers)
        chances.extend([example.chance] * len(answers))
    chances = np.array(chances)
    error = np.sqrt((chances * (1 - chances)).sum()) / len(hits)
    assert np.mean(hits) == pytest.approx(chances.mean(), abs=4 * error)


@pytest.mark.parametrize("name", ["copy", "copy_text"])
@LENGTHS
def test_copy_repeats_the_string_before_the_separator(name, length):
    example = draw(name, length)
    (at,) = np.flatnonzero(example.tokens == SEPARATOR)
    span = length - at - 1
    assert span == (length - 1) // 2
    assert np.array_equal(example.tokens[at - span : at], example.tokens[at + 1 :])
    assert example.answer.sum() == span - 1 and example.answer[-(span - 1) :].all()
    if name == "copy_text":
        assert is_stretch(example.tokens[:at])
        assert set(example.candidates) == set(example.tokens[at + 1 :])


@LENGTHS
def test_recall_is_answered_by_the_value_bound_in_the_context(length):
    example = draw("recall", length)
    asked = np.flatnonzero(example.tokens == QUERY)
    count = min(4, length // 5)
    assert len(asked) == max(count, length // 6)
    assert np.flatnonzero(example.lessons).tolist() == (asked + 2).tolist()
    assert np.flatnonzero(example.answer).tolist() == (asked[:count] + 2).tolist()
    assert len(set(example.tokens[asked[:count] + 1])) == count  # every key, once
    context = example.tokens[: asked[0]]
    for query in asked:
        (bound,) = np.flatnonzero(context == example.tokens[query + 1])
        assert context[bound + 1] == example.tokens[query + 2]


@LENGTHS
def test_few_shot_shows_each_input_before_it_asks_and_keeps_to_one_mapping(length):
    example = draw("few_shot", length)
    count = min(4, length // 4)
    pairs = example.tokens[length % 2 :].reshape(-1, 2)
    assert example.answer.sum() == count
    assert set(pairs[:-count, 0]) == set(pairs[-count:, 0]) and len(set(pairs[:, 0])) == count
    assert len({tuple(pair) for pair in pairs}) == count
    # Every pair but the first of its input is a lesson.
    assert example.lessons.sum() == len(pairs) - count


@pytest.mark.parametrize(("depth", "start"), [(0.0, 0), (0.5, 24), (1.0, 48)])
def test_few_shot_by_number_of_examples_and_by_distance(depth, start):
    example = draw("few_shot", 80, depth=depth, inputs=4, examples=12)
    block = np.flatnonzero(~np.isin(example.tokens[:72], TASKS["few_shot"].sets[1]))
    assert np.array_equal(block, start + np.arange(24))
    assert example.answer.sum() == 4 and example.lessons.sum() == 4 + 12 - 4


@LENGTHS
def test_mqar_asks_each_key_once_behind_all_bindings(length):
    example = draw("mqar", length)
    count = min(4, length // 4)
    bound = dict(example.tokens[: 2 * count].reshape(-1, 2).tolist())
    places = np.flatnonzero(example.answer)
    assert len(bound) == count == len(places) and (places >= 2 * count + 1).all()
    assert {key: value for key, value in zip(*example.tokens[[places - 1, places]].tolist(), strict=True)} == bound
    _, filler = TASKS["mqar"].sets
    assert np.isin(np.delete(example.tokens, [*range(2 * count), *places, *places - 1]), filler).all()


def test_mqar_has_more_of_the_short_gaps_the_smaller_the_power():
    def gaps(power: float) -> np.ndarray:
        mqar = task("mqar", pairs=4, power=power)
        examples = [mqar.example(generator("test", seed), 72) for seed in range(400)]
        return np.concatenate([(np.flatnonzero(example.answer) - 9) // 2 for example in examples])

    # At 1, the largest power, all 32 cells are alike.
    assert gaps(1.0).mean() == pytest.approx(15.5, abs=4 * np.sqrt((32**2 - 1) / 12 / 1600))
    assert gaps(0.1).mean() < 12


@pytest.mark.parametrize(
    ("name", "mark", "size", "answers"), [("passkey", QUERY, 5, 4), ("needle", SEPARATOR, 4, 2)], ids=lambda one: one
)
@pytest.mark.parametrize("length", [16, 100])
def test_what_is_asked_for_stands_at_its_depth_in_one_text(name, mark, size, answers, length):
    examples = {depth: draw(name, length, depth=depth) for depth in TASKS[name].depths}
    assert list(examples) == config.Tasks().passkey.depths
    for depth, example in examples.items():
        context, question = np.split(example.tokens, [length - size])
        start = round(depth * (len(context) - size))
        assert np.array_equal(context[start + 1 : start + size], question[1:])
        assert (context[start], question[0]) == (mark, QUERY)
        assert np.flatnonzero(example.answer).tolist() == list(range(length - answers, length))
        marks = np.flatnonzero(np.isin(context, list(SPECIAL.values())))
        assert len(marks) == (1 if name == "passkey" else max(1, min(4, (length - 4) // 8)))
        assert is_stretch(np.delete(context, (marks[:, None] + np.arange(size)).reshape(-1)))
    # Prompts of one number hold the same at all depths.
    assert len({np.sort(example.tokens).tobytes() for example in examples.values()}) == 1
    assert len({example.tokens[-size:].tobytes() for example in examples.values()}) == 1


@pytest.mark.parametrize("recent", [0, 4])
@LENGTHS
def test_a_digression_ends_in_a_decoy_right_before_the_question(recent, length):
    example = draw("digression", length, recent=recent)
    first, second = np.flatnonzero(example.tokens == SEPARATOR)
    (query,) = np.flatnonzero(example.tokens == QUERY)
    assert (first, second, query) == (0, length - 6 - recent, length - 3)
    assert np.array_equal(example.tokens[1:3], example.tokens[-2:])
    assert example.tokens[1] != example.tokens[second + 1]
    assert example.candidates.tolist() == [example.tokens[2], example.tokens[second + 2]]
    assert example.chance == 0.5 and example.answer.sum() == 1
    assert is_stretch(np.concatenate((example.tokens[3:second], example.tokens[second + 3 : query])))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 5), st.integers(1, 5), st.integers(0, 9), st.integers(0, 99))
def test_scattered_blocks_are_disjoint_and_within(count, size, more, seed):
    room = count * size + more
    starts = scatter(generator("test", seed), count, size, room)
    assert len(starts) == count and (np.diff(starts) >= size).all()
    assert not count or (starts[0] >= 0 and starts[-1] + size <= room)


def test_every_arrangement_of_blocks_is_as_likely():
    random = generator("test")
    found = [tuple(scatter(random, 2, 2, 6).tolist()) for _ in range(6000)]
    arrangements = {(0, 2), (0, 3), (0, 4), (1, 3), (1, 4), (2, 4)}
    assert set(found) == arrangements
    for arrangement in arrangements:
        assert found.count(arrangement) == pytest.approx(1000, abs=4 * np.sqrt(1000 * 5 / 6))


def test_alphabets_of_a_task_are_disjoint_and_those_of_all_tasks_overlap():
    first = TASKS["copy"].sets[0]
    for name in ("few_shot", "recall", "mqar", "needle", "digression"):
        together = np.concatenate(TASKS[name].sets)
        assert len(set(together)) == len(together) and not set(together) & set(SPECIAL.values())
        assert np.array_equal(TASKS[name].sets[0], first)
    assert set(TASKS["passkey"].sets[0]) < set(first)


def test_a_vocabulary_that_is_too_small_is_one_clear_line():
    with pytest.raises(UserError, match="tasks.copy: needs 64 distinct tokens, but the vocabulary has 16"):
        build_task("copy", config.Tasks().task("copy"), Vocabulary(20, SPECIAL), Text())


def test_at_another_depth_other_needles_move_only_if_the_one_asked_for_would_split_one():
    moved = 0
    for seed in range(40):
        places = {}
        for depth in TASKS["needle"].depths:
            example = draw("needle", 64, seed, depth)
            context, (_, key, *_) = np.split(example.tokens, [60])
            (asked,) = (at for at in np.flatnonzero(context == SEPARATOR) if context[at + 1] == key)
            others = np.flatnonzero(np.delete(context, asked + np.arange(4)) == SEPARATOR)
            assert asked == round(depth * 56) and not ((others < asked) & (asked < others + 4)).any()
            places[depth] = others
            before = places[0.0]
            split = ((before < asked) & (asked < before + 4)).any()
            assert split or np.array_equal(others, before)
            moved += split
    assert moved
