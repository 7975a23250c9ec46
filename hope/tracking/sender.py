"""The child process that sends a training's live metrics: ``python -m hope.tracking.sender``.

Reads lines of JSON from standard input, as :class:`hope.tracking.live.LiveMetrics` writes them: a header,
points, and an end. Where the input ends without one, the training was killed, and the run says so.
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

# Two trainings on two cores leave none for this process: it takes a tenth of one.
NICENESS = 10
# After the training's end, this process ends too, whatever the store does.
GRACE_SECONDS = 60
# Kept while the store does not answer.
MOST_POINTS = 20_000


class Input:
    """Lines of JSON from a file descriptor, without waiting for more than a moment."""

    def __init__(self, descriptor: int) -> None:
        """Read from ``descriptor``."""
        self.descriptor, self.ended, self._partial = descriptor, False, b""

    def lines(self, wait: float) -> list[dict[str, Any]]:
        """Return the lines that arrive within ``wait`` seconds: none, or those of the first arrival."""
        if self.ended or not select.select([self.descriptor], [], [], max(0.0, wait))[0]:
            return []
        arrived = os.read(self.descriptor, 1 << 20)
        self.ended = not arrived
        *whole, self._partial = (self._partial + arrived).split(b"\n")
        return [json.loads(line) for line in whole]


def main() -> None:
    """Send what arrives, every few seconds, until the input ends."""
    os.nice(NICENESS)
    source = Input(sys.stdin.fileno())
    points: list[dict[str, Any]] = []
    header: dict[str, Any] | None = None
    run: Any = None
    status, warned, due = "KILLED", False, 0.0
    while True:
        for line in source.lines(max(0.05, due - time.monotonic())):
            if header is None:
                header = line
            elif "end" in line:
                status = line["end"]
            else:
                points.append(line)
                del points[:-MOST_POINTS]
        if source.ended:
            signal.alarm(GRACE_SECONDS)
        if header is not None and (source.ended or time.monotonic() >= due):
            try:
                run = run or _open_run(header)
                run.send(points)
                points = []
                if source.ended:
                    run.end(status)
            except Exception as error:  # whatever it is, the training must not know
                if not warned:
                    warned = True
                    reason = " ".join(str(error).split())
                    print(
                        f"live metrics are held up: {reason}; the training goes on, and "
                        "'python -m hope sync' brings in what is missing",
                        file=sys.stderr,
                        flush=True,
                    )
            due = time.monotonic() + header["seconds"]
        if source.ended:
            return


def _open_run(header: dict[str, Any]) -> Any:
    """Return the model's run in the store, found or made."""
    from hope.paths import RunPaths
    from hope.tracking.client import connect
    from hope.tracking.runs import LiveRun

    return LiveRun(
        connect(Path(header["study"]), header["uri"]),
        RunPaths(Path(header["study"]), header["arm"], header["encoding"], header["seed"]),
        header["settings"],
    )


if __name__ == "__main__":
    main()
