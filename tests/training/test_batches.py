"""Batches: pure functions of the seed and the step, with the weights that the loss needs."""

import numpy as np
import pytest

from hope.data.tokens import TokenCorpus
from hope.data.windows import training_windows
from hope.seeding import generator
from hope.tasks import Vocabulary, build_task
from hope.training.batches import Batches
from tests.conftest import tiny_arm


@pytest.fixture(scope="module")
def corpus(tiny_data):
    return TokenCorpus.open(tiny_data / "train")


def test_all_encodings_of_a_seed_see_the_same_batches(tiny_files, corpus):
    arm = tiny_arm(tiny_files)
    batches = [Batches(arm.train_stage(name, 3), corpus).batch(7) for name in arm.encodings]
    for batch in batches[1:]:
        assert np.array_equal(batch.tokens, batches[0].tokens)
        assert np.array_equal(batch.weights, batches[0].weights)
    other_seed = Batches(arm.train_stage("rope", 4), corpus).batch(7)
    other_step = Batches(arm.train_stage("rope", 3), corpus).batch(8)
    assert not np.array_equal(other_seed.tokens, batches[0].tokens)
    assert not np.array_equal(other_step.tokens, batches[0].tokens)


def test_text_and_answers_are_averaged_each_over_their_own_targets(tiny_files, corpus):
    arm = tiny_arm(tiny_files, mixture={"weight": 0.7})
    batches = Batches(arm.train_stage("rope", 0), corpus)
    for step in range(20):
        batch = batches.batch(step)
        assert batch.weights[~batch.synthetic].sum() == pytest.approx(1.0, rel=1e-4)
        assert batch.weights[batch.synthetic].sum() == pytest.approx(0.7, rel=1e-4)
        assert len(np.unique(batch.weights[batch.synthetic])) == 1
        rows = batch.synthetic.any(axis=1)
        assert rows.sum() == round(arm.mixture.share * 8)
        assert (batch.weights[~rows] > 0).all()


def test_every_window_of_text_begins_with_the_start_token_if_asked_for(tiny_files, corpus):
    mixture = {"share": 0.9, "multiples": [0.5, 1.0]}
    arm = tiny_arm(tiny_files, training={"windows": {"start_token": True}}, mixture=mixture)
    batches = Batches(arm.train_stage("rope", 0), corpus)
    places = set()
    for step in range(20):
        assert (batches.batch(step).tokens[:, 0] == corpus.special["start"]).all()
        places |= {start for _, start, _ in batches.examples.of_step(step)}
    assert min(places) == 1  # right behind it


def test_text_alone_is_all_text(tiny_files, corpus):
    arm = tiny_arm(tiny_files, definitions={"rope-text": {"family": "rope", "text_only": True}})
    stage = arm.train_stage("rope-text", 5)
    batch = Batches(stage, corpus).batch(2)
    expected = training_windows(corpus, 5, 2, 8, 32, stage.training.windows)
    assert np.array_equal(batch.tokens, expected)
    assert not batch.synthetic.any()
    assert batch.weights == pytest.approx(np.full((8, 32), 1 / 256))


def test_no_training_example_is_a_test_prompt(tiny_files, tiny_data, corpus):
    names = ["copy", "copy_text", "few_shot", "recall", "passkey", "needle"]
    mixture = {"share": 1.0, "multiples": [1.0], "tasks": dict.fromkeys(names, 1.0)}
    arm = tiny_arm(tiny_files, mixture=mixture)
    batches = Batches(arm.train_stage("rope", 0), corpus)
    trained = {row[:32].tobytes() for step in range(40) for row in batches.batch(step).tokens}
    trained |= {row[1:].tobytes() for step in range(40) for row in batches.batch(step).tokens}
    assert trained >= {example.tokens.tobytes() for step in range(40) for *_, example in batches.examples.of_step(step)}
    vocabulary, held_out = Vocabulary(corpus.vocabulary, corpus.special), TokenCorpus.open(tiny_data / "validation")
    for name in names:
        task = build_task(name, arm.tasks.task(name), vocabulary, held_out)
        same_purpose = {task.example(generator("mixture", 0, step), 32).tokens.tobytes() for step in range(40)}
        prompts = {task.example(generator("prompt", arm.retrieval.seed, i), 32).tokens.tobytes() for i in range(400)}
        assert len(prompts) > 390 and len(same_purpose) > 37  # a text may be drawn twice
        assert not prompts & trained
