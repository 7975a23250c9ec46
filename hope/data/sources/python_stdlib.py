"""The source code of the running Python's standard library: long, real documents on every machine."""

import os
import platform
import sysconfig
from pathlib import Path

from hope.config import Corpus
from hope.data.sources.document import Collection, decode
from hope.errors import UserError

LEFT_OUT_FOLDERS = {
    "test", "tests", "idle_test",  # tests repeat what they test
    "encodings",  # tables that are near copies of each other
    "site-packages", "dist-packages", "ensurepip", "lib-dynload",  # no part of the library
}  # fmt: skip
LEFT_OUT_FILES = {"sitecustomize.py", "usercustomize.py"}
MADE_BY_BUILD = ("_sysconfigdata", "config-")
"""First characters of the names of files that each build of Python writes, with paths of its machine."""


def collect(settings: Corpus) -> Collection:
    """Return the library's modules in the order of their paths.

    Raises:
        UserError: this Python has no source code of its library.
    """
    return collect_folder(Path(sysconfig.get_path("stdlib")))


def collect_folder(root: Path) -> Collection:
    """Return the modules of the standard library in the folder ``root``."""
    collection = Collection()
    unreadable = 0
    for path in sorted(_modules(root), key=lambda path: path.relative_to(root).as_posix()):
        try:
            decoded = decode(path.read_bytes())
        except OSError:
            decoded = None
        if decoded is None:
            unreadable += 1
            continue
        collection.add(path.relative_to(root).as_posix(), decoded[0])
    if not collection.documents:
        raise UserError(
            f"corpus.source: this Python ({platform.python_version()}) has no source code of its standard library; "
            "use another Python, or corpus.source 'files'"
        )
    collection.origin = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "unreadable_files": unreadable,
    }
    return collection


def _modules(root: Path) -> list[Path]:
    """Return the library's ``.py`` files except those left out."""
    paths = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in LEFT_OUT_FOLDERS and not name.startswith(MADE_BY_BUILD)]
        paths += [
            Path(folder, name)
            for name in files
            if name.endswith(".py") and name not in LEFT_OUT_FILES and not name.startswith(MADE_BY_BUILD)
        ]
    return paths
