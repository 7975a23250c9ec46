"""Passes over many rows: in slices, several at once where there are several threads."""

import threading
from collections.abc import Iterator

import pytest
import torch

from hope.model import bounded_passes
from hope.model.bounded_passes import pass_over
from hope.model.threads import cpu_threads

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with cpu_threads(2):
        yield


def test_as_many_slices_at_once_as_threads_each_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_passes, "TOKENS_ON_CPU", 20)
    both = threading.Barrier(2, timeout=30)  # breaks unless two wait at a time

    def work(piece: slice) -> tuple[slice, int, bool]:
        both.wait()
        return piece, torch.get_num_threads(), torch.is_inference_mode_enabled()

    found = pass_over(work, 8, 10, CPU, "a test")
    assert found == [(slice(start, start + 2), 1, True) for start in (0, 2, 4, 6)]
    assert torch.get_num_threads() == 2


def test_a_row_longer_than_a_pass_has_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_passes, "TOKENS_ON_CPU", 20)
    found = pass_over(lambda piece: (piece.start, torch.get_num_threads(), threading.get_ident()), 3, 21, CPU, "a test")
    assert found == [(row, 2, threading.get_ident()) for row in range(3)]


def test_an_error_reaches_the_caller_and_ends_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_passes, "TOKENS_ON_CPU", 1)
    begun = []

    def work(piece: slice) -> None:
        begun.append(piece.start)
        raise ValueError(f"row {piece.start}")

    with pytest.raises(ValueError, match="row 0"):
        pass_over(work, 1000, 1, CPU, "a test")
    assert len(begun) < 1000 and torch.get_num_threads() == 2
