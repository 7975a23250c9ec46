"""The divergence of attention past the training length: planted patterns."""

import math

import numpy as np
import pytest
import torch

from hope.analysis.divergence import Divergence, class_table, classes_of
from hope.analysis.stream import observe_attention

LENGTH, SIZE = 16, 64


def divergence_of(model, ends=(LENGTH, SIZE), queries=4):
    scope = model.scope(list(ends), queries)
    found = Divergence(scope, LENGTH)
    observe_attention(model, model.tokens(), scope, [found])
    return found


def test_a_planted_departure_is_measured(planted, attend_to):
    for key, expected in (
        (lambda query: 0, 0.0),  # the first key
        (lambda query: query - 5, 0.0),  # the same distance
        (lambda query: query - 2 - query % 2, 0.0),  # the same octave
        (lambda query: query - (3 if query < LENGTH else 9), 1.0),  # another octave
        (lambda query: query - (3 if query < LENGTH else 20), 1.0),  # beyond L
        (lambda query: query - (3 if query < LENGTH or query % 2 else 20), 0.5),  # half beyond L
    ):
        assert divergence_of(planted(attend_to(SIZE, key))).divergences() == pytest.approx(expected, abs=1e-6)


def test_uniform_attention_departs_by_what_lies_beyond(planted, attend_to):
    found = divergence_of(planted(attend_to(SIZE, None)), queries=1).divergences().item()
    # Of 64 keys, 1 is the first; 15 of the others lie nearer than L = 16 after distance 0. Within: 16 keys.
    within = np.array([1, 1, 1, 2, 4, 7, 0]) / 16
    past = np.array([1, 1, 1, 2, 4, 8, 47]) / 64
    assert found == pytest.approx(np.abs(within - past).sum() / 2, abs=1e-6)


@pytest.mark.parametrize("length", [16, 24])
def test_classes_are_octaves_of_distance(length):
    table = class_table(length, 2 * length, 3) * 3
    assert torch.equal(table.sum(dim=-1), torch.ones(3, 2 * length))
    for query in range(3):
        position = 2 * length - 3 + query
        for key in range(position + 1):
            distance = position - key
            octave = 1 if distance == 0 else 2 + math.floor(math.log2(distance))
            expected = 0 if key == 0 else classes_of(length) - 1 if distance >= length else octave
            assert table[query, key].argmax() == expected


def test_the_table_lists_queries_past_the_training_length_only(planted, attend_to):
    model = planted(attend_to(SIZE, lambda query: 0).expand(2, 3, SIZE, SIZE))
    columns = divergence_of(model, (8, LENGTH, 32, SIZE)).columns(np.array([3, 5]))
    assert list(columns) == ["document", "query", "layer", "head", "divergence"]
    assert columns["query"].tolist() == [31] * 6 + [63] * 6
    assert columns["document"].tolist() == [3, 5] * 6
    assert len(divergence_of(model, (LENGTH,)).columns(np.array([3, 5]))["divergence"]) == 0
