"""Passages: what changes them, and what does not."""

import tracemalloc
import unicodedata
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import prose

from hope.data.passages import BLOCK, DENSE_RUN, RUN, RUNS, composed, line_hashes, sampled_runs


def test_white_space_repeats_and_trivial_lines_do_not_count() -> None:
    for text, same_as in (
        ("    return compute(this, that)\n", "return compute(this,  that)"),
        ("a line that says much\nelse:\n#---------------------\n\n", "a line that says much"),
        ("a line that says much\na line that says much\n", "a line that says much"),
        ("short", ""),
    ):
        assert line_hashes(text).tolist() == line_hashes(same_as).tolist()


@pytest.mark.parametrize(
    ("text", "length"),
    [("The quick brown fox jumps", RUN), ("Все счастливые семьи похожи", RUN), ("सभी सुखी परिवार एक जैसे होते हैं", RUN),
     ("幸福的家庭都是相似的", DENSE_RUN), ("행복한가정은모두비슷하지만", DENSE_RUN)],
)  # fmt: skip
def test_every_run_of_letters_counts_once(text: str, length: int) -> None:
    letters = sum(unicodedata.category(character)[0] in "LMN" for character in text)
    found = sampled_runs(text)
    assert found.rate == 1.0 and len(found.hashes) == letters - length + 1
    assert (np.diff(found.hashes.astype(object)) > 0).all()
    assert len(sampled_runs(text * 4).phrases) == letters
    joined = text.upper().replace(" ", ",\n\n")
    assert sampled_runs(joined).hashes.tolist() == found.hashes.tolist()
    assert not len(np.intersect1d(sampled_runs(text[::-1]).hashes, found.hashes))


def test_a_sample_is_part_of_a_denser_one_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(prose(seed, 60) for seed in range(40)) + "幸福的家庭都是相似的" * 3
    found, finer = sampled_runs(text), sampled_runs(text, finer=16)
    assert RUNS <= len(found.hashes) < len(finer.hashes) and finer.rate == 16 * found.rate
    assert np.isin(found.hashes, finer.hashes).all() and np.isin(found.phrases, finer.phrases).all()
    part = sampled_runs(text[: len(text) // 40])
    assert part.rate > found.rate
    limit = int(found.rate * 2**64)
    assert np.isin(part.hashes[part.hashes <= limit], found.hashes).all(), "what an excerpt keeps at the lower rate"
    assert len(text) < BLOCK
    monkeypatch.setattr("hope.data.passages.BLOCK", 1_000)
    for one, other in zip(sampled_runs(text), found, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.text(st.sampled_from("aé한ㅏ각국\u1100\u1161\u11a8\u0301\u0327e\u1e69\u0344\u0958 \n-"), max_size=60))
@settings(deadline=None, max_examples=200)
def test_pieces_are_composed_as_the_whole_is(text: str) -> None:
    with mock.patch("hope.data.passages.BLOCK", 3):
        pieces = list(composed(text))
    assert "".join(pieces) == unicodedata.normalize("NFC", text)


def test_the_normal_form_of_unicode_changes_no_passage(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Tất cả các gia đình hạnh phúc đều giống nhau\n행복한 가정은 모두 비슷하지만 불행한 가정은\n" * 40
    other = unicodedata.normalize("NFD", text)
    monkeypatch.setattr("hope.data.passages.BLOCK", 100)
    assert other != text and line_hashes(other).tolist() == line_hashes(text).tolist() != []
    for one, same in zip(sampled_runs(other), sampled_runs(text), strict=True):
        np.testing.assert_array_equal(one, same)


def test_a_long_text_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(prose(seed, 60) for seed in range(200))
    sampled_runs("the table of letters is made once")
    monkeypatch.setattr("hope.data.passages.BLOCK", 1 << 13)
    tracemalloc.start()
    try:
        line_hashes(text)
        sampled_runs(text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(text) > 500_000 and peak < 4 * len(text), "letters alone would take four bytes each"


def test_text_without_letters_has_no_passages() -> None:
    for text in ("", " \n", "--- 😀", "a"):
        found = sampled_runs(text)
        assert not len(found.hashes) and not len(found.phrases) and not len(line_hashes(text))
