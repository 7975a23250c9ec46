"""Write files completely or not at all, compute digests, and lock files."""

import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hope.errors import UserError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends without an error.

    The file is flushed to the disk before the rename, so that a reader finds the old file, the new one or none, never
    a part. After an error (a full disk, for example) the temporary file is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # Some writers make a file that only its owner may read: it gets the mode that the user's umask gives.
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, completely or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as sorted, indented JSON, completely or not at all."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object, as every JSON file of this project does.

    Raises:
        UserError: the file is missing, cannot be read, or is no JSON object.
    """
    content = _parsed(path, "delete it and run again")
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object in braces; delete it and run again")
    return content


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file that the user gave.

    Raises:
        UserError: the file is missing, cannot be read, is not JSON, or holds something other than an object.
    """
    content = _parsed(path, "get a whole copy of the file")
    if not isinstance(content, dict):
        kind = {list: "a list", str: "a text", type(None): "null"}.get(type(content), "a single value")
        raise UserError(f"{path}: holds {kind}, not a JSON object; get the file from where the others come from")
    return content


def _parsed(path: Path, remedy: str) -> Any:
    """Return the content of a JSON file; ``remedy`` says what to do about one that is not valid."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error}); {remedy}") from None


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check_unaltered(path: Path, records: Iterable[Path] | None = None) -> None:
    """Compare a file with its digest in the records of the steps that wrote it; pass if none names it.

    Args:
        path: the file.
        records: JSON files whose ``outputs`` have digests by path; None for all beside the file.

    Raises:
        UserError: the digest is another one, or a record cannot be read.
    """
    place, digest = f"/{path.absolute().as_posix()}", ""
    for record in path.parent.glob("*.json") if records is None else records:
        outputs = read_json(record).get("outputs", {}) if record.exists() else {}
        for name, noted in outputs.items():
            if place.endswith(f"/{name}"):
                digest = digest or sha256_of_file(path)
                if noted["sha256"] != digest:
                    raise UserError(f"{path}: altered since {record} was written; delete both and run the study again")


def digests_of(paths: Iterable[Path], base: Path) -> dict[str, dict[str, Any]]:
    """Return ``sha256`` and ``bytes`` of files by path relative to ``base``, as records hold them.

    Hidden files are still being written: they are left out.
    """
    return {
        relative_name(path, base): {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
        for path in paths
        if path.is_file() and not path.name.startswith(".")
    }


def relative_name(path: Path, base: Path) -> str:
    """Return a path relative to ``base``, which need not be above it."""
    return Path(os.path.relpath(path.absolute(), base.absolute())).as_posix()


def sha256_of_json(content: Any) -> str:
    """Return the SHA-256 of ``content`` written as sorted JSON, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Held(UserError):
    """Another process holds a lock."""


@contextmanager
def exclusive_lock(
    path: Path, wait: bool, on_wait: Callable[[str], None] = print, poll_seconds: float = 1.0
) -> Iterator[None]:
    """Hold an exclusive lock on the file ``path`` for the length of the block.

    The kernel drops the lock when the holder dies, however it dies; the file's text names the last
    holder (process and host) and stays.

    Args:
        path: the lock file; made if missing.
        wait: wait for another holder to end, or raise at once.
        on_wait: is told once, in one line, who holds the lock.
        poll_seconds: how often a waiting call tries again.

    Raises:
        Held: another process holds the lock and ``wait`` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as handle:
        told = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                handle.seek(0)
                holder = handle.read().strip() or "another process"
                if not wait:
                    raise Held(f"{path}: held by {holder}; wait for it to end, or stop it") from None
                if not told:
                    on_wait(f"{path}: held by {holder}; waiting for it to end")
                    told = True
                time.sleep(poll_seconds)
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
        yield


def lock_holder(path: Path) -> str | None:
    """Return who holds the lock that :func:`exclusive_lock` takes on ``path``, or None if nobody does."""
    try:
        with open(path, encoding="utf-8") as handle:
            try:
                # Shared, so that two that ask never see each other.
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return handle.read().strip() or "another process"
    except FileNotFoundError:
        pass
    return None
