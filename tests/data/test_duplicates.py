"""Near copies, against a comparison of every pair."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hope.data.duplicates import COMMON_LINE, content_lines, group_near_duplicates


def lines_of(documents: list[set[int]]) -> list[np.ndarray]:
    return [np.array(sorted(document), dtype=np.uint64) for document in documents]


def by_every_pair(documents: list[set[int]], share: float) -> list[int]:
    """Return the group of each document, by comparing all pairs until nothing changes."""
    groups = list(range(len(documents)))
    for first, second in itertools.combinations(range(len(documents)), 2):
        shared = len(documents[first] & documents[second])
        if shared > share * min(len(documents[first]), len(documents[second])):
            old, new = max(groups[first], groups[second]), min(groups[first], groups[second])
            groups = [new if group == old else group for group in groups]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return [numbers[group] for group in groups]


@given(
    st.lists(st.sets(st.integers(0, 30), max_size=12), min_size=1, max_size=COMMON_LINE),
    st.sampled_from([0.1, 0.3, 0.5, 0.75, 1.0]),
)
@settings(deadline=None, max_examples=75)
def test_groups_equal_those_of_every_pair_while_no_line_is_common(documents: list[set[int]], share: float) -> None:
    assert group_near_duplicates(lines_of(documents), share).tolist() == by_every_pair(documents, share)


def test_common_lines_join_copies_but_a_shared_licence_joins_nothing() -> None:
    rng = np.random.default_rng(0)
    own = [set(range(100 * index, 100 * index + 10)) for index in range(200)]
    licence = set(range(90_000, 90_005))
    copies = [{100_000 + line for line in range(40) if rng.random() < 0.9} for _ in range(4 * COMMON_LINE)]
    documents = [document | licence for document in [*own, *copies]]
    order = rng.permutation(len(documents))
    groups = group_near_duplicates(lines_of([documents[index] for index in order]), 0.5)
    assert len(set(groups[order >= len(own)])) == 1
    assert len(set(groups)) == len(own) + 1
    # Neighbours by the licence share 5 of 20 lines, exactly the share; every second document shares 5 more.
    halves = [document | licence | set(range(80_000 + index % 2, 80_010, 2)) for index, document in enumerate(own)]
    assert group_near_duplicates(lines_of(halves), 0.25).tolist() == [0, 1] * (len(own) // 2)


def test_white_space_repeats_and_trivial_lines_do_not_count() -> None:
    for text, same_as in (
        ("    return compute(this, that)\n", "return compute(this,  that)"),
        ("a line that says much\nelse:\n#---------------------\n\n", "a line that says much"),
        ("a line that says much\na line that says much\n", "a line that says much"),
        ("short", ""),
    ):
        assert content_lines(text).tolist() == content_lines(same_as).tolist()


def test_a_paragraph_counts_by_its_sentences() -> None:
    sentences = [f"Sentence number {index} says something of its own." for index in range(8)]
    changed = [*sentences[:6], "Quite another one stands here.", "And one more, to end the paragraph."]
    first, second = content_lines(" ".join(sentences)), content_lines(" ".join(changed))
    assert len(first) == len(second) == 8
    assert len(np.intersect1d(first, second)) == 6
