"""Where the processes of a training meet when several launchers have started them, and what they are told there.

The first process decides if and when the training starts: it may have to wait for a lock. The others connect
at once and wait for its word.
"""

import datetime
import time
from typing import Any

import torch.distributed as dist
from torch.distributed import FileStore, PrefixStore, TCPStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from hope.training.devices import CannotRunHere
from hope.training.topology import FROM_ENVIRONMENT, ProcessRole

WAITING = datetime.timedelta(days=30)
"""How long processes wait for the word of the first one, which may itself wait for another training to end."""
CONNECTING = datetime.timedelta(minutes=10)
"""How long they wait to reach it at all: opening the store is the first thing that it does."""
TRAIN, DONE, STOP = "train", "done", "stop"


def open_store(role: ProcessRole, host: str = "") -> Any:
    """Return the store at which the processes meet, or None where one process starts all of them.

    Args:
        role: what this process is to the training.
        host: name of this machine, if the processes of other machines are to be told a free port of it.

    Raises:
        CannotRunHere: the port is taken.
    """
    if role.meeting == FROM_ENVIRONMENT:
        store, _, _ = next(rendezvous(FROM_ENVIRONMENT, role.first, role.world, timeout=CONNECTING))
        return store
    if not (role.meeting or host):
        return None
    host, _, port = role.meeting.rpartition(":") if role.meeting else (host, "", "0")
    try:
        return TCPStore(host, int(port), is_master=role.leads, wait_for_workers=False, timeout=CONNECTING)
    except dist.DistNetworkError as error:
        raise CannotRunHere(
            f"cannot meet at {host}:{port} ({str(error).splitlines()[0][:120]}); set MASTER_PORT to a free port"
        ) from None


def address(store: Any) -> str:
    """Return ``HOST:PORT`` of a store, or an empty string for none."""
    return f"{store.host}:{store.port}" if isinstance(store, TCPStore) else ""


def group_store(store: Any, meeting: str, folder: str, world: int) -> Any:
    """Return the store that a process group is made with.

    Args:
        store: one that is open already, or None.
        meeting: ``HOST:PORT`` of one, or empty for a file in ``folder``.
        folder: a folder that all processes on this machine share.
        world: processes of the training.
    """
    if store is None and meeting:
        host, _, port = meeting.rpartition(":")
        store = TCPStore(host, int(port), is_master=False, wait_for_workers=False, timeout=CONNECTING)
    return PrefixStore("train", store if store is not None else FileStore(f"{folder}/store", world))


def tell(store: Any, word: str, role: ProcessRole) -> None:
    """Give the others the word that they wait for; the first one that is given stays.

    After any other word than :data:`TRAIN` this process will end, and the store with it, so it waits until
    all have heard.
    """
    if store is not None:
        given = store.compare_set("word", "", word).decode()
        if word != TRAIN and given == word:
            await_leaving(store, role)


def await_word(role: ProcessRole) -> tuple[Any, str]:
    """Connect, and return the store and the first process's word: :data:`STOP` too if that has ended."""
    try:
        store = open_store(role)
        store.set_timeout(WAITING)
        word = store.get("word").decode()
        if word != TRAIN:
            leave(store, role)
        return store, word
    except dist.DistError:
        return None, STOP


def leave(store: Any, role: ProcessRole) -> None:
    """Say that the processes here need the store no more."""
    store.add("ended", role.here)


def await_leaving(store: Any, role: ProcessRole, seconds: float = 30.0) -> None:
    """Keep the store open until the others need it no more."""
    if store is not None:
        deadline = time.monotonic() + seconds
        while store.add("ended", 0) < role.world - role.here and time.monotonic() < deadline:
            time.sleep(0.05)
