"""What the processes of a training agree on at each step: to stop, or to write a checkpoint."""

import signal
from types import FrameType

import torch
import torch.distributed as dist


class Requests:
    """What the processes ask of each other at a step: to stop, or to write a checkpoint.

    SIGTERM and SIGINT are noted, so that the loop can write a checkpoint before it ends. With several
    processes an answer is that of the step before, so that no step waits for the network.
    """

    def __init__(self) -> None:
        """Take over both signals; every process must call."""
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        self._alone = dist.get_world_size() == 1
        # On the host's side: the devices work through their queues meanwhile.
        self._group = None if self._alone else dist.new_group(backend="gloo")
        self._flags = torch.zeros(2, dtype=torch.int64)
        self._pending: dist.Work | None = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number

    def __call__(self, due: bool) -> tuple[bool, bool]:
        """Return whether any process was told to stop, and whether any finds a checkpoint due; all must call."""
        if self._alone:
            return self.signal != 0, due
        self.finish()
        stop, checkpoint = (bool(flag) for flag in self._flags.tolist())
        self._flags = torch.tensor([self.signal != 0, due], dtype=torch.int64)
        self._pending = dist.all_reduce(self._flags, op=dist.ReduceOp.MAX, group=self._group, async_op=True)
        return stop, checkpoint

    def finish(self) -> None:
        """Wait for an answer that is still on its way."""
        if self._pending is not None:
            self._pending.wait()
            self._pending = None

    def any(self, value: bool) -> bool:
        """Return at once whether ``value`` holds on any process; all must call."""
        if self._alone:
            return value
        flag = torch.tensor(int(value))
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self._group)
        return bool(flag)

    def first(self, line: str | None) -> str | None:
        """Return, on all processes, the line of the first that has one; all must call."""
        lines: list[str | None] = [line] * dist.get_world_size()
        if not self._alone:
            dist.all_gather_object(lines, line, group=self._group)
        return next(filter(None, lines), None)
