"""The address of a study's own store."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote


def sqlite_address(store: Path) -> str:
    """Return the address of the SQLite file in ``store``, the folder ``mlflow/`` of a study."""
    return f"sqlite:///{plain_path(store) / 'mlflow.db'}"


@functools.cache
def plain_path(folder: Path) -> Path:
    """Return a path of ``folder`` that can stand in an address as it is.

    In an address of a database, a ``?`` begins the options and nothing escapes it. So a folder with such a character in
    its path is reached through a symbolic link, which lasts until this process ends.

    Args:
        folder: an absolute path.
    """
    if quote(str(folder)) == str(folder):
        return folder
    links = Path(tempfile.mkdtemp(prefix="hope-"))
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    link = links / "store"
    link.symlink_to(folder)
    return link
