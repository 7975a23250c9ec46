"""The split: whole groups, enough text, enough long documents, or one clear line."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hope.config import Validation
from hope.data.split import held_out
from hope.errors import UserError


@given(
    st.lists(st.tuples(st.integers(1, 500), st.integers(0, 40)), min_size=2, max_size=80),
    st.floats(0.0, 0.6),
    st.integers(1, 5),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=100)
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


def test_large_documents_first_in_the_order_do_not_spoil_what_small_ones_can_give() -> None:
    characters = np.array([4_000, 4_000, *[300] * 20])
    asked = Validation(share=0.1, long_documents=20, long_characters=300)
    for seed in range(10):
        assert held_out(characters, np.arange(22), asked, seed).tolist() == [False, False] + [True] * 20


def test_too_few_long_documents_are_one_line_and_up_to_half_may_be_held_out() -> None:
    characters, groups = np.full(20, 1_000), np.arange(20)
    asked = Validation(share=0.1, long_documents=8, long_characters=1_000)
    assert held_out(characters, groups, asked, 0).sum() == 8
    with pytest.raises(UserError, match=r"^corpus\.validation\.long_documents: asks for 11 [^\n]*$") as caught:
        held_out(characters, groups, asked.model_copy(update={"long_documents": 11}), 0)
    assert "of 20 documents 20 are as long, and 10 of these can be held out" in str(caught.value)
    with pytest.raises(UserError, match="of 3 documents 1 are as long, and 1 of these can be held out"):
        held_out(np.array([10, 20, 30]), np.arange(3), Validation(long_documents=2, long_characters=25), 0)


@pytest.mark.parametrize(
    ("characters", "groups", "share"),
    [
        ([100], [0], 0.1),
        ([100] * 3, [0] * 3, 0.1),
        ([9_000, 100, 100], [0, 1, 2], 0.5),
        ([100] * 3, [0, 1, 2], 1.0),
    ],
)
def test_a_group_must_be_left_to_train_on(characters: list[int], groups: list[int], share: float) -> None:
    asked = Validation(share=share, long_documents=1, long_characters=1)
    with pytest.raises(UserError, match=r"^corpus\.validation\.[^\n]*$") as caught:
        held_out(np.array(characters), np.array(groups), asked, 0)
    assert len(set(groups)) == 1 or f"share: asks for {share} of the text, but only" in str(caught.value)
