"""What the processes of a training agree on at each step: to stop, or to write a checkpoint."""

import signal
from types import FrameType

import torch
import torch.distributed as dist


class Requests:
    """Stop and checkpoint requests of all processes of a training.

    With several processes an answer is that of the step before, so that no step waits for the network.
    """

    def __init__(self) -> None:
        """Connect the processes; every process must call."""
        self.signal = 0
        self.alone = dist.get_world_size() == 1
        # On the CPU: the GPUs work through their queues meanwhile.
        self._group = None if self.alone else dist.new_group(backend="gloo")
        self._flags = torch.zeros(2, dtype=torch.int64)
        self._pending: dist.Work | None = None

    def note_signals(self) -> None:
        """Note SIGTERM and SIGINT from here on, so that the loop can write a checkpoint before it ends."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number

    def __call__(self, due: bool) -> tuple[bool, bool]:
        """Return whether any process shall stop, and whether a checkpoint is due on any; every process must call."""
        if self.alone:
            return self.signal != 0, due
        self.finish()
        stop, checkpoint = (bool(flag) for flag in self._flags.tolist())
        # One that is written at this step is not due again, though ``due`` was computed before.
        self._flags = torch.tensor([self.signal != 0, due and not checkpoint], dtype=torch.int64)
        self._pending = dist.all_reduce(self._flags, op=dist.ReduceOp.MAX, group=self._group, async_op=True)
        return stop, checkpoint

    def finish(self) -> None:
        """Wait for the answer of the last call."""
        if self._pending is not None:
            self._pending.wait()
            self._pending = None

    def any(self, value: bool) -> bool:
        """Return at once whether ``value`` is true on any process; every process must call."""
        if self.alone:
            return value
        flag = torch.tensor(int(value))
        dist.all_reduce(flag, op=dist.ReduceOp.MAX, group=self._group)
        return bool(flag)

    def first(self, line: str | None) -> str | None:
        """Return, on all processes, the line of the lowest rank that has one; every process must call."""
        lines: list[str | None] = [line] * dist.get_world_size()
        if not self.alone:
            dist.all_gather_object(lines, line, group=self._group)
        return next(filter(None, lines), None)
