"""GPUs of this machine: each process of a training locks the one that it computes on, for its life.

What measures a trained model takes a free one too, where there are several.

Snakemake counts GPUs but assigns none. The kernel drops a lock when its process dies, however it dies. The locks lie on
the machine itself, in a folder of the user: they keep the trainings of this project apart and know nothing of other
programs.
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hope.errors import UserError
from hope.files import Held, exclusive_lock

LOCKS = Path("/tmp") / f"hope-devices-{os.getuid()}"
VISIBLE = "CUDA_VISIBLE_DEVICES"


class CannotRunHere(UserError):
    """This machine, not the training, is the obstacle: elsewhere or later the training may run."""


def installed_devices() -> list[str]:
    """Return the identifiers (``GPU-...``) of this machine's NVIDIA GPUs; empty without a driver.

    They come from the driver's management library. CUDA itself would fix, for the life of this process, which devices
    it sees.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
        return [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def visible_devices(installed: list[str], variable: str | None) -> list[str]:
    """Return the identifiers of the devices that a process may use.

    Args:
        installed: all devices of the machine, in the driver's order.
        variable: content of ``CUDA_VISIBLE_DEVICES``, or None where it is not set: numbers or (beginnings
            of) identifiers, up to the first that names no device, as CUDA reads it.
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
def claimed_device(visible: list[str], number: int, locks: Path = LOCKS) -> Iterator[str | None]:
    """Hold one of the visible devices for the length of the block: the first free one, or None if all are held.

    It never waits, so that two trainings that need several devices never wait for each other.

    Args:
        visible: identifiers of the devices to choose from.
        number: this process among those of its training on this node, from 0; processes look at the devices in
            different orders.
        locks: folder of the lock files.

    Raises:
        CannotRunHere: the node has fewer devices than processes, or the folder is another user's.
    """
    if number >= len(visible):
        raise CannotRunHere(
            f"training.processes: {number + 1} or more processes, but this machine shows {len(visible)} GPUs "
            f"({VISIBLE}={os.environ.get(VISIBLE, 'not set')}); lower it, or ask for more GPUs"
        )
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    if locks.lstat().st_uid != os.getuid():
        raise CannotRunHere(f"{locks}: belongs to another user; have it removed")
    with ExitStack() as stack:
        for name in visible[number:] + visible[:number]:
            try:
                stack.enter_context(exclusive_lock(locks / f"{re.sub('[^A-Za-z0-9.-]', '-', name)}.lock", wait=False))
            except Held:
                continue
            yield name
            return
        yield None


@contextmanager
def spare_device(locks: Path = LOCKS) -> Iterator[None]:
    """Make this process see one GPU for the length of the block: a free one if there is one, and never wait for it.

    On a machine with a single GPU it does nothing: measuring shares that one with a training.
    """
    visible = visible_devices(installed_devices(), os.environ.get(VISIBLE))
    if len(visible) < 2:
        yield
        return
    with claimed_device(visible, 0, locks) as free:
        os.environ[VISIBLE] = free or visible[os.getpid() % len(visible)]
        yield
