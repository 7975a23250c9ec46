"""A heartbeat for work that may take long: a plain line every few seconds, never a bar."""

import time


class ProgressLines:
    """Prints how far a piece of work is, at most once in a few seconds."""

    def __init__(self, label: str, seconds: float = 5.0) -> None:
        """Start the clock: the first line comes after ``seconds``, so short work is silent.

        Args:
            label: begins each line.
            seconds: shortest time between two lines.
        """
        self._label = label
        self._seconds = seconds
        self._started = self._last = time.monotonic()

    def report(self, text: str) -> None:
        """Print ``text`` if the last line is long enough ago."""
        now = time.monotonic()
        if now - self._last >= self._seconds:
            self._last = now
            print(f"{self._label}: {text} after {now - self._started:.0f} s", flush=True)
