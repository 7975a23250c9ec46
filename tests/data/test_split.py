"""The split: whole groups, enough text, enough long documents, or one clear line."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hope.config import Validation
from hope.data.split import LARGEST, held_out
from hope.errors import UserError


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, 40)), min_size=2, max_size=80),
    st.floats(0.0, 0.6),
    st.integers(1, 5),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=300)
def test_a_split_keeps_what_it_promises(
    documents: list[tuple[int, int]], share: float, long_documents: int, seed: int
) -> None:
    characters = np.array([size for size, _ in documents])
    groups = np.unique([group for _, group in documents], return_inverse=True)[1]
    asked = Validation(share=share, long_documents=long_documents, long_characters=200)
    try:
        taken = held_out(characters, groups, asked, seed)
    except UserError:
        assume(False)
    assert all(len(set(taken[groups == group])) == 1 for group in groups)
    assert taken.any() and not taken.all()
    assert characters[taken].sum() >= share * characters.sum()
    assert (characters[taken] >= 200).sum() >= long_documents
    assert (held_out(characters, groups, asked, seed) == taken).all()


def test_many_small_documents_meet_the_share_closely_and_by_seed() -> None:
    characters = np.random.default_rng(0).integers(100, 2_000, size=2_000)
    asked = Validation(share=0.1, long_documents=10, long_characters=1_500)
    taken = [held_out(characters, np.arange(2_000), asked, seed) for seed in (0, 1)]
    for side in taken:
        assert 0.1 <= characters[side].sum() / characters.sum() < 0.11
    assert 0.02 < (taken[0] & taken[1]).sum() / taken[0].sum() < 0.3, "two seeds choose apart"


def test_long_documents_may_take_more_than_the_share_but_at_most_half() -> None:
    characters = np.full(20, 1_000)
    taken = held_out(characters, np.arange(20), Validation(share=0.1, long_documents=8, long_characters=1_000), 0)
    assert taken.sum() == 8
    with pytest.raises(UserError) as caught:
        held_out(characters, np.arange(20), Validation(share=0.1, long_documents=11, long_characters=1_000), 0)
    assert str(caught.value).startswith("corpus.validation.long_documents: 11 held-out documents")
    assert "20 are as long, and 10 of these can be held out" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert LARGEST == 0.5


def test_large_documents_first_in_the_order_do_not_spoil_what_small_ones_can_give() -> None:
    characters = np.array([4_000, 4_000, *[300] * 20])
    asked = Validation(share=0.1, long_documents=20, long_characters=300)
    for seed in range(10):
        assert held_out(characters, np.arange(22), asked, seed).tolist() == [False, False] + [True] * 20


def test_too_few_long_documents_name_what_was_found() -> None:
    with pytest.raises(UserError, match="3 documents 1 are as long, and 1 of these can be held out"):
        held_out(np.array([10, 20, 30]), np.arange(3), Validation(long_documents=2, long_characters=25), 0)


@pytest.mark.parametrize("groups", [[0], [0, 0, 0]])
def test_one_group_alone_cannot_be_split(groups: list[int]) -> None:
    characters = np.full(len(groups), 100)
    with pytest.raises(UserError, match="corpus.validation"):
        held_out(characters, np.array(groups), Validation(long_documents=1, long_characters=1), 0)


@pytest.mark.parametrize(("characters", "share"), [([9_000, 100, 100], 0.5), ([100, 100, 100], 1.0)])
def test_a_share_that_would_leave_nothing_to_train_on_is_refused(characters: list[int], share: float) -> None:
    asked = Validation(share=share, long_documents=1, long_characters=1)
    with pytest.raises(UserError, match=rf"^corpus\.validation\.share: {share} of the text is asked[^\n]*$"):
        held_out(np.array(characters), np.arange(3), asked, 0)
