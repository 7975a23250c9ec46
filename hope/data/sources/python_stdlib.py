"""The source code of the running Python's standard library: long, real documents on every machine."""

import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hope.config import TextSource
from hope.data.sources.document import Document, Record, Shard
from hope.data.sources.encoding import decode
from hope.errors import UserError

LEFT_OUT_FOLDERS = {
    "test", "tests", "idle_test",  # tests repeat what they test
    "encodings",  # tables that are near copies of each other
    "site-packages", "dist-packages", "ensurepip", "lib-dynload",  # no part of the library
}  # fmt: skip
LEFT_OUT_FILES = {"sitecustomize.py", "usercustomize.py"}
MADE_BY_BUILD = ("_sysconfigdata", "config-")
"""First characters of the names of files that each build of Python writes, with paths of its machine."""


def read(source: TextSource, record: Record, shard: Shard) -> Iterator[Document]:
    """Yield the library's modules in the order of their paths.

    Raises:
        UserError: this Python has no source code of its library.
    """
    return read_folder(Path(sysconfig.get_path("stdlib")), record, shard)


def origin(source: TextSource) -> dict[str, Any]:
    """Return the version of this Python."""
    return {"python": platform.python_version(), "implementation": platform.python_implementation()}


def read_folder(root: Path, record: Record, shard: Shard) -> Iterator[Document]:
    """Yield the modules of the standard library in the folder ``root``."""
    paths = sorted(_modules(root), key=lambda path: path.relative_to(root).as_posix())
    if not paths:
        raise UserError(
            f"corpus.source: this Python ({platform.python_version()}) has no source code of its standard library; "
            "use another Python, or corpus.source 'files'"
        )
    for index, start, _ in shard.pieces([path.stat().st_size for path in paths]):
        if start:
            continue  # a module that begins in the shard before
        path = paths[index]
        try:
            decoded = decode(path.read_bytes())
        except OSError:
            decoded = None
        if decoded is None:
            record.unreadable += 1
            continue
        name = path.relative_to(root).as_posix()
        if decoded.remark:
            record.remark(name, decoded.remark)
        if document := record.document(name, decoded.text):
            yield document


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
