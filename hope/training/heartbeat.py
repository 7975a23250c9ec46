"""Signs of life of a training: a line in its log, and a small file that others can read.

This module is read by ``python -m hope status``, so it imports no numerical library.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hope import config
from hope.errors import UserError
from hope.files import read_json, write_json
from hope.words import duration

BEAT_SECONDS = 5.0
FIRST_SECONDS = 600.0
"""How long the first steps may take: a model is compiled in them, or a large one is read."""
SILENT_SECONDS = 60.0
"""Least time without a sign of life after which a training counts as silent."""


class Heartbeat:
    """Tells how far a training is, every few seconds; costs no synchronisation with a device."""

    def __init__(self, settings: config.Training, folder: Path, start: int) -> None:
        """Begin at step ``start``, and say so in ``folder``."""
        self.settings, self.folder = settings, folder
        self.start, self.started = start, time.monotonic()
        self.last, self.longest = self.started, 0.0
        self._write(start, None, FIRST_SECONDS)

    def __call__(self, done: int, point: Mapping[str, float] | None) -> None:
        """Tell of step ``done``, if it is time to; ``point`` is the last one of the loss curve."""
        now = time.monotonic()
        if now - self.last < BEAT_SECONDS and done < self.settings.steps:
            return
        self.longest, self.last = max(self.longest, now - self.last), now
        state = self._write(done, point, max(SILENT_SECONDS, 5 * self.longest))
        loss = "-" if state["loss"] is None else f"{state['loss']:.3f}"
        print(
            f"step {done} of {self.settings.steps} ({done / self.settings.steps:.0%})  loss {loss}  "
            f"{state['tokens_per_second']:,.0f} tokens/s  {duration(state['seconds_left'])} left",
            flush=True,
        )

    def _write(self, done: int, point: Mapping[str, float] | None, allowed: float) -> dict[str, Any]:
        settings = self.settings
        elapsed = max(1e-9, time.monotonic() - self.started)
        measured = (done - self.start) * settings.length * settings.batch_windows / elapsed
        speed = point["tokens_per_second"] if point else measured
        left = max(0, settings.steps - done) * settings.length * settings.batch_windows
        content = {
            "step": done,
            "steps": settings.steps,
            "loss": point["loss"] if point else None,
            "tokens_per_second": speed,
            "seconds_left": left / speed if speed else 0.0,
            "time": time.time(),
            "silent_after": time.time() + allowed,
            "process": os.getpid(),
            "host": socket.gethostname(),
        }
        # A full disk ends the training where it must: at its next checkpoint.
        with contextlib.suppress(OSError):
            write_json(heartbeat_file(self.folder), content)
        return content


def heartbeat_file(folder: Path) -> Path:
    """Return the file in a training's own checkpoint folder that holds its last sign of life."""
    return folder / "heartbeat.json"


def last_heartbeat(folder: Path) -> dict[str, Any] | None:
    """Return the last sign of life of the training that keeps its checkpoints in ``folder``, or None."""
    try:
        content = read_json(heartbeat_file(folder))
    except UserError:
        return None
    return content if isinstance(content, dict) and "silent_after" in content else None
