"""Write a folder completely or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hope.errors import UserError


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside ``path``; rename it to ``path`` when the block ends without an error.

    After an error the new folder is deleted, and ``path`` is untouched.

    Raises:
        UserError: ``path`` exists, or cannot be made.
    """
    path = path.absolute()
    _refuse_existing(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    # What a killed process of the same number left behind.
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.iterdir()):
            file.chmod(0o644)
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
        _refuse_existing(path)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder with those above it, if it is not there.

    Raises:
        UserError: it cannot be made: a file lies in its place or above it, or its place may not be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made a folder ({error.strerror}); name another place") from None


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise UserError(f"{path}: exists and is not overwritten; name another folder, or remove it")
