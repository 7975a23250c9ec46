"""GPUs of this machine, given out to trainings: each device to one training at a time.

Snakemake counts GPUs but assigns none. So a training locks the devices that it takes, for its life; the
kernel drops the locks when it dies, however it dies. The locks lie on the machine itself, in a folder of
the user's: they keep this project's trainings apart, and know nothing of other programs.
"""

import ctypes
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hope.errors import UserError
from hope.files import exclusive_lock

LOCKS = Path("/tmp") / f"hope-devices-{os.getuid()}"
VISIBLE = "CUDA_VISIBLE_DEVICES"


class CannotRunHere(UserError):
    """What this machine, not the training, stands in the way of: elsewhere or later it may run."""


def installed_devices() -> list[str]:
    """Return the identifiers (``GPU-...``) of this machine's NVIDIA GPUs; empty without a driver.

    The driver's management library is asked, since asking CUDA would fix, for the life of this process,
    which devices it sees.
    """
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return []
    if library.nvmlInit_v2():
        return []
    try:
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return []
        identifiers = []
        for number in range(count.value):
            handle, name = ctypes.c_void_p(), ctypes.create_string_buffer(96)
            if library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)) or library.nvmlDeviceGetUUID(
                handle, name, len(name)
            ):
                return []
            identifiers.append(name.value.decode())
        return identifiers
    finally:
        library.nvmlShutdown()


def visible_devices(installed: list[str], variable: str | None) -> list[str]:
    """Return the identifiers of the devices that a process may use.

    Args:
        installed: all devices of the machine, in the driver's order.
        variable: content of ``CUDA_VISIBLE_DEVICES``, or None where it is not set: numbers or (beginnings
            of) identifiers, up to the first that leads to no device, as CUDA reads it.
    """
    if variable is None:
        return installed
    visible: list[str] = []
    for entry in filter(None, (part.strip() for part in variable.split(","))):
        if entry.isdigit() and int(entry) < len(installed):
            visible.append(installed[int(entry)])
        elif entry.startswith("MIG-"):
            visible.append(entry)
        elif len(matches := [name for name in installed if entry.startswith("GPU-") and name.startswith(entry)]) == 1:
            visible += matches
        else:
            break
    return visible


@contextmanager
def claimed_devices(
    count: int,
    visible: list[str],
    locks: Path = LOCKS,
    on_wait: Callable[[str], None] | None = print,
    poll_seconds: float = 1.0,
) -> Iterator[list[str]]:
    """Hold ``count`` of the visible devices, those free first in their order, for the length of the block.

    All are taken at once or none, so that two trainings that ask for several never wait for each other.

    Args:
        count: how many.
        visible: identifiers of the devices to choose from.
        locks: folder of the lock files.
        on_wait: is told once, in one line, who holds what is missing; None does not wait but raises.
        poll_seconds: how often a waiting call tries again.

    Raises:
        CannotRunHere: there are fewer devices, or too few are free and ``on_wait`` is None.
    """
    if count > len(visible):
        raise CannotRunHere(
            f"training.processes: {count} processes, but this machine shows {len(visible)} GPUs "
            f"({VISIBLE}={os.environ.get(VISIBLE, 'not set')}); lower it, or ask for more GPUs"
        )
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = False
    while True:
        with ExitStack() as stack:
            taken, holders = _take(count, visible, locks, stack)
            if len(taken) == count:
                yield taken
                return
        line = f"{len(taken)} of {count} GPUs are free; {'; '.join(holders)}"
        if on_wait is None:
            raise CannotRunHere(f"{line}; wait for it to end, or stop it")
        if not told:
            on_wait(f"{line}; waiting")
            told = True
        time.sleep(poll_seconds)


def _take(count: int, visible: list[str], locks: Path, stack: ExitStack) -> tuple[list[str], list[str]]:
    """Lock up to ``count`` devices until ``stack`` is closed; return them, and who holds the others tried."""
    taken: list[str] = []
    holders: list[str] = []
    # One chooses at a time, else two would each see what the other holds for a moment as taken.
    with exclusive_lock(locks / "choosing.lock", wait=True, on_wait=lambda line: None, poll_seconds=0.1):
        for name in visible:
            try:
                stack.enter_context(exclusive_lock(locks / f"{re.sub('[^A-Za-z0-9.-]', '-', name)}.lock", wait=False))
            except UserError as error:
                holders.append(str(error).split(";")[0])
                continue
            taken.append(name)
            if len(taken) == count:
                break
        if len(taken) < count:
            stack.close()
    return taken, holders
