"""The retrieval tasks: what an example is, and what a guess scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hope import config
from hope.errors import UserError
from hope.seeding import generator
from hope.tasks import Example, Vocabulary, build_task
from hope.tasks.built_in import scatter

SPECIAL = {"start": 0, "end": 1, "separator": 2, "query": 3}
VOCABULARY = Vocabulary(600, SPECIAL)
LENGTHS = [16, 33, 128, 512]


class Text:
    """A source whose token at place i is 4 + i % 596: what was taken, and from where, can be read off it."""

    def span(self, random: np.random.Generator, count: int) -> np.ndarray:
        return 4 + (random.integers(596) + np.arange(count)) % 596


def task(name: str, **over):
    definition = config.Tasks(definitions={"one": config.TaskDefinition(task=name, settings=over)}).task("one")
    return build_task(name, definition, VOCABULARY, Text())


TASKS = {name: task(name) for name in config.TASKS}


def draw(name: str, length: int, depth: float | None = None, **over) -> Example:
    return task(name, **over).example(generator("test", name, length), length, depth)


def after(tokens: np.ndarray, string: list[int], until: int) -> list[int]:
    """Return the places that follow an occurrence of ``string`` before ``until``."""
    size = len(string)
    return [at + size for at in range(until - size + 1) if tokens[at : at + size].tolist() == list(string)]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("length", LENGTHS)
def test_an_example_is_as_long_as_asked_and_depends_on_the_seed_alone(name, length):
    first, again, other = (TASKS[name].example(generator("test", seed), length) for seed in (1, 1, 2))
    assert first.tokens.shape == first.answer.shape == first.lessons.shape == (length,)
    assert first.tokens.dtype == np.int64 and first.answer.dtype == bool
    assert np.array_equal(first.tokens, again.tokens) and np.array_equal(first.answer, again.answer)
    assert not np.array_equal(first.tokens, other.tokens)
    assert first.answer.any() and not first.answer[0] and not first.lessons[0]
    assert not (first.answer & ~first.lessons).any()
    assert np.isin(first.tokens[first.lessons], first.candidates).all()


@pytest.mark.parametrize("name", TASKS)
def test_a_config_knows_the_shortest_prompt(name):
    shortest = config.Tasks().shortest(name)
    assert TASKS[name].example(generator("test"), shortest).answer.any()
    with pytest.raises(UserError, match=f"{name} needs prompts of {shortest} tokens or more, not {shortest - 1}"):
        TASKS[name].example(generator("test"), shortest - 1)


@pytest.mark.parametrize("name", TASKS)
def test_a_guess_among_the_candidates_scores_the_stated_chance(name):
    random, hits, chances = generator("guess"), [], []
    for index in range(300):
        example = TASKS[name].example(generator("test", index), 64)
        answers = example.tokens[example.answer]
        hits.extend(random.choice(example.candidates, len(answers)) == answers)
        chances.extend([example.chance] * len(answers))
    chances = np.array(chances)
    error = np.sqrt((chances * (1 - chances)).sum()) / len(hits)
    assert np.mean(hits) == pytest.approx(chances.mean(), abs=4 * error)


@pytest.mark.parametrize("name", ["copy", "copy_text", "few_shot", "induction", "mqar", "needle", "passkey", "recall"])
@pytest.mark.parametrize("length", LENGTHS)
def test_an_answer_is_what_followed_the_last_token_before(name, length):
    # Not of the digression, whose topic may come in its text: here the context alone gives each answer.
    example = draw(name, length)
    for at in np.flatnonzero(example.lessons):
        before = 2 if name in ("passkey", "needle") and at > 1 and example.answer[at - 1] else 1
        known = after(example.tokens, example.tokens[at - before : at].tolist(), at - 1)
        assert example.tokens[at] in example.tokens[known]


@pytest.mark.parametrize("name", ["copy", "copy_text"])
@pytest.mark.parametrize("length", LENGTHS)
def test_copy_repeats_the_string_before_the_separator(name, length):
    example = draw(name, length)
    (at,) = np.flatnonzero(example.tokens == SPECIAL["separator"])
    span = length - at - 1
    assert span == (length - 1) // 2
    assert np.array_equal(example.tokens[at - span : at], example.tokens[at + 1 :])
    assert example.answer.sum() == span - 1 and example.answer[-(span - 1) :].all()
    if name == "copy_text":
        assert (np.diff(example.tokens[:at]) % 596 == 1).all()  # one stretch of the source
        assert set(example.candidates) == set(example.tokens[at + 1 :])


@pytest.mark.parametrize("length", LENGTHS)
def test_recall_is_answered_by_the_value_bound_in_the_context(length):
    example = draw("recall", length)
    asked = np.flatnonzero(example.tokens == SPECIAL["query"])
    count = min(4, length // 5)
    assert len(asked) == max(count, length // 6)
    assert np.flatnonzero(example.lessons).tolist() == (asked + 2).tolist()
    assert np.flatnonzero(example.answer).tolist() == (asked[:count] + 2).tolist()
    assert len(set(example.tokens[asked[:count] + 1])) == count  # every key, once
    context = example.tokens[: asked[0]]
    for query in asked:
        (bound,) = np.flatnonzero(context == example.tokens[query + 1])
        assert context[bound + 1] == example.tokens[query + 2]


@pytest.mark.parametrize("length", LENGTHS)
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
    example = draw("few_shot", 80, depth, inputs=4, examples=12)
    few = task("few_shot", inputs=4, examples=12)
    block = np.flatnonzero(~np.isin(example.tokens[:72], few.sets[1]))
    assert np.array_equal(block, start + np.arange(24))
    assert example.answer.sum() == 4 and example.lessons.sum() == 4 + 12 - 4


@pytest.mark.parametrize("length", LENGTHS)
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

    # At 1 all 32 cells are alike.
    assert gaps(1.0).mean() == pytest.approx(15.5, abs=4 * np.sqrt((32**2 - 1) / 12 / 1600))
    assert gaps(0.1).mean() < 12


@pytest.mark.parametrize("name", ["passkey", "needle"])
@pytest.mark.parametrize("depth", config.Tasks().passkey.depths)
@pytest.mark.parametrize("length", [16, 128])
def test_what_is_asked_for_stands_at_its_depth_in_one_text(name, depth, length):
    example = draw(name, length, depth)
    size, answers = (5, 4) if name == "passkey" else (4, 2)
    context, question = np.split(example.tokens, [length - (size if name == "passkey" else size)])
    question = question[-size:]
    start = round(depth * (len(context) - size))
    assert np.array_equal(context[start : start + size][1:], question[1:])
    assert context[start] == SPECIAL["query" if name == "passkey" else "separator"]
    assert question[0] == SPECIAL["query"]
    assert np.flatnonzero(example.answer).tolist() == list(range(length - answers, length))
    marks = np.flatnonzero(np.isin(context, list(SPECIAL.values())))
    assert len(marks) == (1 if name == "passkey" else max(1, min(4, (length - 4) // 8)))
    text = np.delete(context, (marks[:, None] + np.arange(size)).reshape(-1))
    assert (np.diff(text) % 596 == 1).all()


@pytest.mark.parametrize("name", ["passkey", "needle"])
def test_prompts_of_one_number_hold_the_same_at_all_depths(name):
    examples = [TASKS[name].example(generator("test", 5), 100, depth) for depth in TASKS[name].depths]
    assert len(examples) == 11
    assert len({example.tokens.tobytes() for example in examples}) == 11
    assert len({np.sort(example.tokens).tobytes() for example in examples}) == 1
    assert len({example.tokens[-4:].tobytes() for example in examples}) == 1


@pytest.mark.parametrize("recent", [0, 4])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_digression_ends_in_a_decoy_right_before_the_question(recent, length):
    example = draw("digression", length, recent=recent)
    first, second = np.flatnonzero(example.tokens == SPECIAL["separator"])
    (query,) = np.flatnonzero(example.tokens == SPECIAL["query"])
    assert (first, second, query) == (0, length - 6 - recent, length - 3)
    assert np.array_equal(example.tokens[1:3], example.tokens[-2:])
    assert example.tokens[1] != example.tokens[second + 1]
    assert example.candidates.tolist() == [example.tokens[2], example.tokens[second + 2]]
    assert example.chance == 0.5 and example.answer.sum() == 1
    text = np.concatenate((example.tokens[3:second], example.tokens[second + 3 : query]))
    assert (np.diff(text) % 596 == 1).all()


def test_induction_repeats_tokens_of_the_whole_vocabulary_with_a_period_of_each_prompt():
    periods, seen = set(), set()
    for seed in range(60):
        example = TASKS["induction"].example(generator("test", seed), 128)
        period = int(np.argmax(example.answer)) - 1
        assert 32 <= period <= 64
        assert np.array_equal(example.tokens[period:], example.tokens[:-period])
        assert len(set(example.tokens)) == period <= 64 and not set(example.tokens) & set(SPECIAL.values())
        assert example.answer.sum() == 128 - period - 1
        periods.add(period)
        seen |= set(example.tokens.tolist())
    assert len(periods) > 15 and len(seen) > 590


@settings(max_examples=100, deadline=None)
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


def test_alphabets_of_a_task_are_disjoint_and_hold_no_special_token():
    for name in ("few_shot", "recall", "mqar"):
        together = np.concatenate(TASKS[name].sets)
        assert len(set(together)) == len(together) == 96
        assert not set(together) & set(SPECIAL.values())


def test_tasks_share_their_tokens():
    for name in ("few_shot", "recall", "mqar", "needle", "digression"):
        assert np.array_equal(TASKS[name].sets[0], TASKS["copy"].sets[0])
    assert set(TASKS["passkey"].sets[0]) < set(TASKS["copy"].sets[0])


def test_a_vocabulary_that_is_too_small_is_one_clear_line():
    with pytest.raises(UserError, match="tasks.copy: asks for 64 distinct tokens, but the vocabulary has 16"):
        build_task("copy", config.Tasks().task("copy"), Vocabulary(20, SPECIAL), Text())
