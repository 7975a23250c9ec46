"""Metrics of a training while it runs, handed to a process of their own.

Importing MLflow takes one to two seconds of computing, and within the trainer's own process all of it
would be stolen from the training (measured on one core: a thread cost 3.4 s, a process of low priority
0.4 s). So the trainer only writes lines into a pipe, never waiting for it, and a child
(:mod:`hope.tracking.sender`) sends them on. Nothing that goes wrong there reaches the training: the
history in the model's folder has every point, and ``python -m hope sync`` brings them in.
"""

import contextlib
import json
import math
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from hope import config
from hope.config import to_json
from hope.paths import RunPaths
from hope.tracking.provenance import PACKAGE

# About 20,000 points; beyond that a store that does not answer costs points, not memory.
BUFFER_BYTES = 4_000_000
COMMAND = [sys.executable, "-m", "hope.tracking.sender"]


class LiveMetrics:
    """Sends points of the loss curve of one model; a plain callable that never raises and never waits.

    The model's run is found by its tag ``hope.run`` (``<arm>/<encoding>/seed<k>``), or made. A training that
    ends within the first ``seconds`` starts no child at all: ``sync`` brings its points in.
    """

    def __init__(self, paths: RunPaths, stage: config.TrainStage, uri: str | None = None, seconds: float = 5.0) -> None:
        """Prepare; nothing is started before the first batch is due.

        Args:
            paths: those of the model.
            stage: what the training depends on; becomes the run's params.
            uri: an MLflow server, or None for the store in the study's folder.
            seconds: time between batches.
        """
        header = {
            "study": str(paths.study.absolute()),
            "uri": uri,
            "arm": paths.arm,
            "encoding": stage.encoding.name,
            "seed": stage.seed,
            "settings": json.loads(to_json(stage)),
            "seconds": seconds,
        }
        self._pending = bytearray(_line(header))
        self._due = time.monotonic() + seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._warned = False
        self._lost = False

    def __call__(self, point: Mapping[str, float]) -> None:
        """Take one point: ``step``, ``time`` (seconds since 1970) and metrics by name.

        ``tokens`` is left out, and so is what is no finite number.
        """
        try:
            metrics = {
                name: float(value)
                for name, value in point.items()
                if name not in ("step", "time", "tokens") and math.isfinite(value)
            }
            line = _line({"step": int(point["step"]), "time": float(point["time"]), "metrics": metrics})
            if self._lost:
                return
            if len(self._pending) + len(line) > BUFFER_BYTES:
                self._warn("the tracking store does not keep up; points are left out until it does")
                return
            self._pending += line
            if self._child is None and time.monotonic() >= self._due:
                self._start()
            self._write()
        except Exception as error:
            self._give_up(error)

    def close(self, timeout: float = 10.0, failed: bool | None = None) -> None:
        """Send what is left and end the child, waiting at most ``timeout`` seconds.

        Args:
            timeout: seconds; what was not sent by then is left to ``sync``.
            failed: whether the training failed, which becomes the run's status. By default it did if an
                exception is being handled, as in the ``finally`` of a block that raised; an exit or the
                keyboard's interrupt counts as killed.
        """
        raised = sys.exc_info()[1]
        stopped = isinstance(raised, SystemExit | KeyboardInterrupt)
        status = "FAILED" if failed or (failed is None and raised) else "FINISHED"
        if failed is None and stopped:
            status = "KILLED"
        child, deadline = self._child, time.monotonic() + timeout
        if child is None:
            return
        try:
            if not self._lost:
                self._pending += _line({"end": status})
                while self._pending and time.monotonic() < deadline and not self._lost:
                    assert child.stdin is not None
                    select.select([], [child.stdin.fileno()], [], 0.1)
                    self._write()
            self._hang_up()
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._warn("the tracking store did not answer in time")
            child.kill()
            child.wait()
        except Exception as error:
            self._give_up(error)
        finally:
            self._child = None
            self._lost = True

    def _start(self) -> None:
        """Start the child; it ends when the pipe does, so it cannot outlive the trainer for long."""
        environment = dict(os.environ)
        paths = [str(PACKAGE.parent), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._child = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is the trainer's, which then says how it ended
        )
        assert self._child.stdin is not None
        os.set_blocking(self._child.stdin.fileno(), False)

    def _write(self) -> None:
        """Write as much as the pipe takes."""
        if self._child is None or self._child.stdin is None:
            return
        try:
            while self._pending:
                written = os.write(self._child.stdin.fileno(), memoryview(bytes(self._pending[:65_536])))
                del self._pending[:written]
        except BlockingIOError:
            pass
        except OSError:
            self._lost = True
            self._pending.clear()
            self._warn("the process that sends them has ended")

    def _hang_up(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            with contextlib.suppress(OSError):
                self._child.stdin.close()

    def _give_up(self, error: Exception) -> None:
        self._lost = True
        self._hang_up()
        self._warn(f"{type(error).__name__}: {error}")

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            with contextlib.suppress(Exception):
                line = " ".join(f"live metrics are incomplete: {reason}".split())
                print(f"{line}; the training goes on, and 'python -m hope sync' mends it", file=sys.stderr, flush=True)


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"
