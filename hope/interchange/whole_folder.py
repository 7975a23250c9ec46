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
        UserError: ``path`` exists.
    """
    path = path.absolute()
    _refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
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


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise UserError(f"{path}: exists and is not overwritten; name another folder, or remove it")
