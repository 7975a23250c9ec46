"""Windows, against an enumeration of all there are."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from hope.config import Analysis, Extrapolation, LengthStage, Windows
from hope.data.tokens import TokenCorpus
from hope.data.windows import check_lengths, evaluation_windows, training_windows
from hope.errors import UserError
from tests.token_folder import write_tokens

START = 0
KEPT, CROSSED = Windows(boundaries="kept"), Windows(boundaries="crossed")


def corpus_of(folder: Path, *lengths: int) -> TokenCorpus:
    """Return documents in which every token is another, so that a window shows where it lies."""
    numbers = iter(range(10, 10 + sum(lengths)))
    documents = [[next(numbers) for _ in range(length)] for length in lengths]
    return TokenCorpus.open(write_tokens(folder, documents, shard_tokens=97))


def all_windows(lengths: tuple[int, ...], body: int, crossed: bool) -> set[tuple[int, ...]]:
    """Return every window of ``body`` tokens of such documents."""
    windows, first = set(), 10
    for length in (sum(lengths),) if crossed else lengths:
        windows |= {tuple(range(start, start + body)) for start in range(first, first + length - body + 1)}
        first += length
    return windows


LENGTHS = (3, 9, 5, 1, 6, 20, 4)


@pytest.mark.parametrize("boundaries", ["kept", "crossed"])
@pytest.mark.parametrize("start_token", [False, True])
def test_every_window_there_is_comes_equally_often(tmp_path: Path, boundaries: str, start_token: bool) -> None:
    corpus = corpus_of(tmp_path / "train", *LENGTHS)
    windows = Windows(boundaries=boundaries, start_token=start_token)
    drawn = np.concatenate([training_windows(corpus, 3, step, 500, 5, windows) for step in range(10)])
    assert drawn.shape == (5_000, 6) and drawn.dtype == np.int64
    if start_token:
        assert (drawn[:, 0] == START).all()
        drawn = drawn[:, 1:]
    counts = Counter(map(tuple, drawn.tolist()))
    expected = all_windows(LENGTHS, 5 if start_token else 6, boundaries == "crossed")
    assert set(counts) == expected
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_windows_depend_on_seed_and_step_alone_and_stay_what_they_are(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "train", 400, 700, 900)
    first = training_windows(corpus, 0, 5, 8, 16, KEPT)
    others = [training_windows(corpus, seed, step, 8, 16, KEPT) for seed, step in ((1, 5), (0, 6), (5, 0))]
    assert all((first[:, 0] != other[:, 0]).any() for other in others)
    again = training_windows(TokenCorpus.open(tmp_path / "train"), 0, 5, 8, 16, KEPT)
    np.testing.assert_array_equal(first, again)
    assert training_windows(corpus, 0, 0, 4, 8, KEPT)[:, 0].tolist() == [138, 181, 314, 1121]
    tokens, documents = evaluation_windows(corpus, 2, 2, 8, KEPT)
    assert (tokens[:, 0].tolist(), documents.tolist()) == ([191, 290, 502, 975], [0, 0, 1, 1])


def test_too_long_a_window_is_one_line(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "train", *LENGTHS)
    for windows, length, expected in (
        (KEPT, 20, "21 tokens, but .*train has 20 in its longest document; lower it, or add longer documents"),
        (CROSSED, 48, "49 tokens, but .*train has 48 in all; lower it, or add longer text"),
    ):
        assert training_windows(corpus, 0, 0, 3, length - 1, windows).shape == (3, length)
        with pytest.raises(UserError, match=rf"^training\.length: a window needs {expected}$"):
            training_windows(corpus, 0, 0, 3, length, windows)


@pytest.mark.parametrize("start_token", [False, True])
def test_evaluation_windows_lie_within_distinct_long_documents(tmp_path: Path, start_token: bool) -> None:
    corpus = corpus_of(tmp_path / "validation", 50, 9, 80, 10, 11, 12, 200)
    windows = Windows(start_token=start_token)
    tokens, documents = evaluation_windows(corpus, 4, 3, 10, windows)
    assert tokens.shape == (12, 11) and tokens.dtype == np.int64
    assert (np.repeat(documents[::3], 3) == documents).all() and len(set(documents)) == 4
    body = tokens[:, 1:] if start_token else tokens
    assert not start_token or (tokens[:, 0] == START).all()
    assert (np.diff(body, axis=1) == 1).all()
    for window, document in zip(body, documents, strict=True):
        text = corpus.document(document)
        assert text[0] <= window[0] and window[-1] <= text[-1]


def test_evaluation_windows_are_the_same_each_time_and_spread_over_their_document(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "validation", *[1_000] * 20)
    tokens, documents = evaluation_windows(corpus, 10, 4, 100, KEPT, seed=1)
    starts = (tokens[:, 0] - 10) % 1_000
    assert (starts // 225.25 == np.tile(np.arange(4), 10)).all(), "one start in each quarter of the 901 places"
    assert len(set(starts % 225)) > 20
    fewer, of_fewer = evaluation_windows(corpus, 5, 4, 100, KEPT, seed=1)
    np.testing.assert_array_equal(fewer, tokens[:20], "more documents leave the first as they are")
    np.testing.assert_array_equal(of_fewer, documents[:20])
    other, others = evaluation_windows(corpus, 10, 4, 100, KEPT, seed=2)
    assert set(others) != set(documents)


def test_every_long_document_is_used_where_all_are_asked(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path / "validation", 10, 11, 30, 5)
    tokens, documents = evaluation_windows(corpus, 2, 1, 10, KEPT)
    assert set(documents) == {1, 2}
    assert tokens[documents == 1].tolist() == [list(range(20, 31))], "a document that fits exactly has one window"
    with pytest.raises(UserError, match=r"asks for 3 documents of at least 11 tokens, but .*validation has 2 of 4"):
        evaluation_windows(corpus, 3, 1, 10, KEPT)


def stage(**over: object) -> LengthStage:
    content = {
        "length": 10,
        "windows": KEPT,
        "analysis": Analysis(documents=3, multiples=[1.0, 2.0]),
        "extrapolation": Extrapolation(documents=2, longest=4, contexts=[1.0, 4.0], targets=2),
    }
    return LengthStage(**(content | over))


@pytest.fixture
def both(tmp_path: Path) -> Path:
    corpus_of(tmp_path / "train", 30, 11, 10, 9)
    corpus_of(tmp_path / "validation", 41, 60, 21, 40, 5)
    return tmp_path


def test_lengths_are_found_and_reported(both: Path) -> None:
    assert check_lengths(stage(), both) == {
        "training": {"window": 11, "documents": 2, "share_of_tokens": 41 / 60},
        "analysis": {"window": 21, "documents": 3, "found": 4},
        "extrapolation": {"window": 41, "documents": 2, "found": 2},
    }
    assert check_lengths(stage(windows=CROSSED), both)["training"]["share_of_tokens"] == 1.0
    assert check_lengths(stage(windows=Windows(start_token=True)), both)["extrapolation"]["found"] == 3


def test_documents_too_short_are_one_line_before_training(both: Path) -> None:
    few = Analysis(documents=5, multiples=[1.0, 2.0]), Extrapolation(documents=3, longest=4, contexts=[1.0])
    for over, expected in (
        ({"analysis": few[0]}, "lower analysis.documents or analysis.multiples"),
        ({"extrapolation": few[1]}, "extrapolation.documents: asks for 3 documents of at least 41 tokens"),
        ({"length": 30}, "training.length: a window needs 31 tokens"),
    ):
        with pytest.raises(UserError, match=r"^[^\n]*$") as caught:
            check_lengths(stage(**over), both)
        assert expected in str(caught.value)
