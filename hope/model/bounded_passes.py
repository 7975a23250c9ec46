"""Passes of bounded size over many rows of tokens, with a line of progress every few seconds."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

from hope.data.progress import ProgressLines
from hope.model.threads import cpu_threads
from hope.words import duration

# A pass holds a few float32 arrays of tokens x MLP width: 16,384 tokens keep each below 0.6 GB at 3B
# parameters. On a CPU smaller passes stay in the cache and are the faster ones.
TOKENS_ON_GPU = 16_384
TOKENS_ON_CPU = 2_048

Result = TypeVar("Result")


class WholeWork:
    """Work of many passes, with one line of progress over all of them."""

    def __init__(self, label: str, total: float, cost: Callable[[int], float]) -> None:
        """Start the clock.

        Args:
            label: first words of each line.
            total: cost of the whole work, in any unit.
            cost: of a row, from its tokens.
        """
        self.lines, self.started = ProgressLines(label), time.monotonic()
        self.total, self.cost, self.done, self.current = total, cost, 0.0, 0.0

    def begin(self, rows: int, length: int) -> None:
        """Begin a pass."""
        self.current = rows * self.cost(length)

    def report(self, share: float) -> None:
        """Print how far the whole is, with this share of the current pass done; a whole one is counted as finished."""
        done = self.done + share * self.current
        left = (time.monotonic() - self.started) * max(0.0, self.total / done - 1) if done else 0.0
        self.lines.report(f"{min(99, int(100 * done / max(self.total, done, 1e-9)))}%, {duration(left)} left")
        if share == 1:
            self.done, self.current = done, 0.0


_whole: ContextVar[WholeWork | None] = ContextVar("_whole", default=None)


@contextmanager
def whole_work(label: str, total: float, cost: Callable[[int], float] = float) -> Iterator[None]:
    """Report passes within the block as parts of one piece of work.

    Args:
        label: first words of each line.
        total: cost of all passes together.
        cost: of a row of so many tokens; their number by default.
    """
    token = _whole.set(WholeWork(label, total, cost))
    try:
        yield
    finally:
        _whole.reset(token)


def report_within(share: float) -> bool:
    """Report that a share of the current pass is done; return False if there is no whole work to report on."""
    whole = _whole.get()
    if whole is None:
        return False
    whole.report(share)
    return True


def leave_out(cost: float) -> None:
    """Take work off the whole that turns out not to be needed."""
    whole = _whole.get()
    if whole is not None:
        whole.total -= cost


def row_slices(rows: int, length: int, device: torch.device, what: str) -> Iterator[slice]:
    """Yield slices that cover ``rows`` rows of ``length`` tokens, each small enough for one forward pass.

    Prints a line every few seconds with ``what`` and how far the work is.

    Args:
        rows: rows in all.
        length: tokens of a row.
        device: where the passes run.
        what: names the work in the progress line.
    """
    return _reported(_slices(rows, length, device), rows, length, what)


def pass_over(work: Callable[[slice], Result], rows: int, length: int, device: torch.device, what: str) -> list[Result]:
    """Do ``work``, without gradients, on each of the slices of :func:`row_slices`, and return what it returns.

    With several CPU threads as many slices are worked on at once, each by one thread: a pass has too little in it
    to be divided well. So the number of threads changes no bit of a slice's result. A row that is too long for
    one pass has all threads to itself.

    Args:
        work: takes a slice of the rows; may be called from several threads.
        rows: rows in all.
        length: tokens of a row.
        device: where the passes run.
        what: names the work in the progress line.

    Returns:
        The results in the order of the rows.
    """
    inferred = torch.inference_mode()(work)  # a mode is one thread's own
    slices, threads = _slices(rows, length, device), torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or length > TOKENS_ON_CPU:
        return [inferred(piece) for piece in _reported(slices, rows, length, what)]
    with cpu_threads(1), ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        results = pool.map(inferred, slices)
        return [next(results) for _ in _reported(slices, rows, length, what)]


def _slices(rows: int, length: int, device: torch.device) -> list[slice]:
    size = max(1, (TOKENS_ON_CPU if device.type == "cpu" else TOKENS_ON_GPU) // length)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _reported(slices: list[slice], rows: int, length: int, what: str) -> Iterator[slice]:
    """Yield ``slices`` of ``rows`` rows, and print how far the work on them is."""
    progress, started, whole = ProgressLines(what), time.monotonic(), _whole.get()
    for piece in slices:
        if whole is not None:
            whole.begin(piece.stop - piece.start, length)
        yield piece
        if report_within(1.0):
            continue
        rate = piece.stop * length / (time.monotonic() - started)
        left = (rows - piece.stop) * length / rate
        progress.report(f"{100 * piece.stop // rows}%, {rate:,.0f} tokens/s, {duration(left)} left")
