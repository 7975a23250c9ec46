"""Progress of long work: a plain line every few seconds, never a bar."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class ProgressLines:
    """Prints the progress of a piece of work, at most one line every few seconds."""

    def __init__(self, label: str, seconds: float = 5.0) -> None:
        """Start the clock. The first line is printed after ``seconds``, so short work prints none.

        Args:
            label: first words of each line.
            seconds: shortest time between two lines.
        """
        self._label = label
        self._seconds = seconds
        self._started = self._last = time.monotonic()

    def report(self, text: str) -> None:
        """Print ``text`` and the time passed, unless the last line is too recent."""
        now = time.monotonic()
        if now - self._last >= self._seconds:
            self._last = now
            print(f"{self._label}: {text} after {now - self._started:.0f} s", flush=True)


@contextmanager
def beating(label: str, seconds: float = 5.0) -> Iterator[None]:
    """Print a line every few seconds while the block waits for one long call of a library.

    Args:
        label: first words of each line.
        seconds: between two lines.
    """
    progress, over = ProgressLines(label, 0.0), threading.Event()

    def beat() -> None:
        while not over.wait(seconds):
            progress.report("working")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
