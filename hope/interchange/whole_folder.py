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
    make_folder(path.parent, path)
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


def make_folder(folder: Path, output: Path) -> None:
    """Make a folder with those above it, if it is not there.

    Args:
        folder: the folder.
        output: what the user asked for, which the error names.

    Raises:
        UserError: it cannot be made: a file lies in its place or above it, or its place may not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{output}: cannot be made ({error.filename}: {error.strerror}); name a folder in another place"
        ) from None


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise UserError(f"{path}: exists and is not overwritten; name another folder, or remove it")
