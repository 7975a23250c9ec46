"""Files of the study as artifacts of runs: linked where the file system can, copied where it cannot."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from hope.files import read_json, sha256_of_file, whole_file, write_json

DIGESTS = "digests.json"


class Digests:
    """SHA-256 of a study's files, kept beside the store, so that large weights are read once."""

    def __init__(self, study: Path) -> None:
        """Open what an earlier ``sync`` left, if it did."""
        self.study = study
        self.path = study / "mlflow" / DIGESTS
        self._known: dict[str, list[Any]] = {}
        self._used: dict[str, list[Any]] = {}
        with contextlib.suppress(Exception):  # unreadable: all files are read again
            self._known = read_json(self.path)

    def sha256(self, path: Path) -> str:
        """Return the digest of a file of the study; read only if its size or time changed."""
        name, state = path.relative_to(self.study).as_posix(), path.stat()
        known = self._used.get(name) or self._known.get(name)
        if not known or known[:2] != [state.st_size, state.st_mtime_ns]:
            known = [state.st_size, state.st_mtime_ns, sha256_of_file(path)]
        self._used[name] = known
        return known[2]

    def listing(self, artifacts: dict[str, Path]) -> dict[str, dict[str, Any]]:
        """Return ``sha256`` and ``bytes`` of each artifact by name."""
        return {
            name: {"sha256": self.sha256(path), "bytes": path.stat().st_size}
            for name, path in sorted(artifacts.items())
        }

    def save(self) -> None:
        """Keep the digests of the files asked about."""
        if self._used != self._known:
            write_json(self.path, self._used)


def mirror_artifacts(folder: Path, artifacts: dict[str, Path], listing: dict[str, dict[str, Any]]) -> bool:
    """Make ``folder`` hold exactly ``artifacts`` and their ``digests.json``; return whether that changed it.

    Args:
        folder: the run's artifact folder.
        artifacts: files of the study by the artifact's name, a relative path.
        listing: what :meth:`Digests.listing` says of them.

    Raises:
        OSError: the disk is full, say.
    """
    changed = False
    for name, source in artifacts.items():
        target = folder / name
        if not _holds(target, source, listing[name]):
            _link(source, target)
            changed = True
    if not _reads(folder / DIGESTS, listing):
        write_json(folder / DIGESTS, listing)
        changed = True
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        elif name not in artifacts and name != DIGESTS:
            path.unlink()
            changed = True
    return changed


def remove(folder: Path) -> None:
    """Remove the artifacts of a run that is no more; the study's files themselves stay.

    Args:
        folder: the run's artifact folder, ``<run id>/artifacts``; the run's own folder goes with it.
    """
    shutil.rmtree(folder.parent, ignore_errors=True)


def _holds(target: Path, source: Path, described: dict[str, Any]) -> bool:
    try:
        if target.samefile(source):
            return True
        return target.stat().st_size == described["bytes"] and sha256_of_file(target) == described["sha256"]
    except OSError:
        return False


def _reads(path: Path, content: Any) -> bool:
    return path.is_file() and read_json(path) == content


def _link(source: Path, target: Path) -> None:
    """Link ``source`` as ``target``; copy where that cannot be, as across file systems."""
    with whole_file(target) as temporary:
        try:
            os.link(source.resolve(), temporary)
        except OSError:
            shutil.copyfile(source, temporary)
