"""Metrics of a training while it runs, sent by a process of their own.

Importing MLflow takes one to two seconds of computing, which the trainer would lose (measured on one core: a thread
cost it 3.4 s, a process of low priority 0.4 s). So the trainer only appends lines of JSON to a temporary file, and a
child process (``python -m hope.tracking.live``) reads the file and sends the points. No failure there reaches the
training: the history in the model's folder has every point, and ``python -m hope sync`` brings them in.
"""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from hope import config
from hope.paths import RunPaths
from hope.tracking.provenance import PACKAGE

COMMAND = [sys.executable, "-m", "hope.tracking.live"]
# Two trainings on two cores leave none for the child: it takes a tenth of one.
NICENESS = 10
POLL_SECONDS = 0.1
# The longest that a training waits at its end, and that a child outlives a trainer that was killed.
CLOSE_SECONDS, GRACE_SECONDS = 10, 60
# What the child reads and sends at once.
MOST_BYTES = 1 << 22


class LiveMetrics:
    """Sends points of the loss curve of one model; a plain callable that never raises and never waits.

    A training that ends within the first ``seconds`` starts no child: ``sync`` brings its points in.
    """

    def __init__(self, paths: RunPaths, stage: config.TrainStage, uri: str | None = None, seconds: float = 5.0) -> None:
        """Prepare; the child starts with the first point after ``seconds``.

        Args:
            paths: those of the model.
            stage: what the training depends on; becomes the run's params.
            uri: an MLflow server, or None for the store in the study's folder.
            seconds: time between batches.
        """
        self._header = {
            "trainer": os.getpid(),
            "model": str(paths.model.absolute()),
            "uri": uri,
            "settings": stage.model_dump(mode="json", by_alias=True),
            "seconds": seconds,
        }
        self._due = time.monotonic() + seconds
        self._file: IO[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._failed = False

    def __call__(self, point: Mapping[str, float]) -> None:
        """Take one point: ``step``, ``time`` (seconds since 1970) and metrics by name.

        ``tokens`` is left out, and so is what is no finite number.
        """
        if self._failed:
            return
        try:
            metrics = {
                name: float(value)
                for name, value in point.items()
                if name not in ("step", "time", "tokens") and math.isfinite(value)
            }
            self._write({"step": int(point["step"]), "time": float(point["time"]), "metrics": metrics})
            if self._child is None and time.monotonic() >= self._due:
                # In a session of its own: Ctrl-C reaches the trainer alone, which then reports how it ended.
                self._child = subprocess.Popen(
                    [*COMMAND, json.dumps(self._header)],
                    stdin=self._file,
                    stdout=subprocess.DEVNULL,
                    cwd=PACKAGE.parent,
                    start_new_session=True,
                )
        except Exception as error:
            self._fail(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Let the child send what is left, and end it after at most ten seconds.

        The run's status follows from the exception that is being handled, as in the ``finally`` of a block that
        raised: KILLED for an exit or the keyboard's interrupt, FAILED for others, FINISHED for none.
        """
        raised = sys.exc_info()[1]
        stopped = isinstance(raised, SystemExit | KeyboardInterrupt)
        child, self._child = self._child, None
        if child is not None:
            try:
                self._write({"end": "KILLED" if stopped else "FAILED" if raised else "FINISHED"})
                if status := child.wait(CLOSE_SECONDS):
                    self._fail(f"the process that sends them ended with status {status}")
            except subprocess.TimeoutExpired:
                self._fail("the tracking store did not answer in time")
            except Exception as error:
                self._fail(str(error))
            child.kill()
            child.wait()
        if self._file is not None:
            self._file.close()
        self._failed = True

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115, closed by close
        self._file.write(json.dumps(entry).encode() + b"\n")

    def _fail(self, reason: str) -> None:
        if not self._failed:
            _warn(reason)
        self._failed = True


def _warn(reason: str) -> None:
    line = " ".join(f"live metrics are incomplete: {reason}".split())
    with contextlib.suppress(Exception):  # such as a log on a full disk
        print(f"{line}; the training goes on, and 'python -m hope sync' mends them", file=sys.stderr, flush=True)


def send(header: dict[str, Any]) -> None:
    """Send the points in the file on standard input as they arrive, until the training ends or its process is gone."""
    run: Any = None
    status, position, due, warned = None, 0, 0.0, False
    while status is None:
        time.sleep(POLL_SECONDS)
        alive = os.getppid() == header["trainer"]
        text = os.pread(sys.stdin.fileno(), MOST_BYTES, position)
        ended = text.endswith(b'"}\n')  # the end is a word, all else are numbers
        if alive and not ended and time.monotonic() < due:
            continue
        text = text[: text.rfind(b"\n") + 1]
        entries = [json.loads(line) for line in text.splitlines()]
        if ended or not alive:
            status = entries.pop()["end"] if ended else "KILLED"
            signal.alarm(GRACE_SECONDS)
        try:
            run = run or _open_run(header)
            run.send(entries)
            position += len(text)
            if status is not None:
                run.end(status)
        except Exception as error:  # whatever it is, the training must not know
            if not warned:
                _warn(str(error))
            warned = True
        due = time.monotonic() + header["seconds"]


def _open_run(header: dict[str, Any]) -> Any:
    """Return the model's run in the store, found or made."""
    from hope.tracking.client import connect
    from hope.tracking.runs import LiveRun

    paths = RunPaths.of_model(Path(header["model"]))
    return LiveRun(connect(paths.study, header["uri"]), paths, header["settings"])


if __name__ == "__main__":
    os.nice(NICENESS)
    send(json.loads(sys.argv[1]))
