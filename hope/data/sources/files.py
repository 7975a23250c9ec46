"""Find the files of a user's own corpus; imports only the standard library."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hope.errors import UserError, nearest

SUFFIXES = (".txt", ".md", ".jsonl", ".parquet")
"""Suffixes of the files that are read: .txt and .md hold one document, .jsonl and .parquet one document per row."""

REMEDIES = {
    ".json": "write one JSON object per line and name it .jsonl",
    ".ndjson": "name it .jsonl",
    ".csv": "convert it to .jsonl or .parquet",
    ".tsv": "convert it to .jsonl or .parquet",
    ".arrow": "convert it to .parquet",
    ".gz": "decompress it first",
    ".zst": "decompress it first",
    ".bz2": "decompress it first",
    ".xz": "decompress it first",
    ".zip": "unpack it and name the folder",
    ".tar": "unpack it and name the folder",
    ".pdf": "extract its text into .txt",
    ".docx": "extract its text into .txt",
    ".html": "extract its text into .txt",
    ".pkl": "pickles are never read, since they can run code; convert it to .parquet",
    ".pickle": "pickles are never read, since they can run code; convert it to .parquet",
}


def find_files(paths: list[str]) -> tuple[list[tuple[Path, str]], dict[str, int]]:
    """Return the files of ``paths``, each once, and the number of skipped files per suffix.

    A folder gives all files below it except hidden ones; their names begin with the folder's. A glob gives the
    files and folders that it matches; their names begin with its last folder without a wildcard.

    Returns:
        (path, name) of each file, and the counts by suffix of the files of other kinds.

    Raises:
        UserError: a path matches nothing, or no file of a known kind.
    """
    files: dict[Path, tuple[Path, str]] = {}
    skipped: Counter[str] = Counter()
    for given in paths:
        matches = list(_expand(given))
        if not matches and Path(given).expanduser().is_dir():
            raise UserError(f"corpus.files.paths: '{given}' leads to no file: the folder has none; put texts into it")
        if not matches:
            raise UserError(f"corpus.files.paths: '{given}' leads to no file{_nearby(given)}")
        known = [match for match in matches if match[0].suffix.lower() in SUFFIXES]
        others = Counter(path.suffix.lower() for path, _ in matches if path.suffix.lower() not in SUFFIXES)
        if not known:
            suffix = others.most_common(1)[0][0]
            raise UserError(
                f"corpus.files.paths: '{given}' has no file of a known kind, but '{suffix or 'no suffix'}'; "
                f"{REMEDIES.get(suffix) or _similar(suffix)}"
            )
        skipped.update(others)
        for path, name in known:
            files.setdefault(path.resolve(), (path, name))
    return list(files.values()), dict(sorted(skipped.items()))


def _similar(suffix: str) -> str:
    """Return the known suffixes and the nearest of them."""
    return f"known are {', '.join(SUFFIXES)}{nearest(suffix, SUFFIXES)}"


def _nearby(given: str) -> str:
    """Return a hint at a similar name in the missing path's folder."""
    path = Path(given).expanduser()
    try:
        return nearest(path.name, os.listdir(path.parent))
    except OSError:
        return ""


def _expand(given: str) -> Iterator[tuple[Path, str]]:
    """Yield the files under one entry of ``paths``, with their names, in sorted order."""
    path = Path(os.path.abspath(Path(given).expanduser()))
    if path.exists():
        yield from _below(path, path.parent)
        return
    # The path of the project's own folder is no pattern, whatever characters it has.
    pattern = os.path.normpath(os.path.join(glob.escape(os.getcwd()), Path(given).expanduser()))
    both = zip(path.parts, Path(pattern).parts, strict=True)
    fixed = itertools.takewhile(lambda parts: glob.escape(parts[0]) == parts[1], both)
    root = Path(*(part for part, _ in fixed)).parent
    for match in sorted(glob.glob(pattern, recursive=True)):
        yield from _below(Path(match), root)


def _below(path: Path, root: Path) -> list[tuple[Path, str]]:
    """Return ``path``, or the files below it if it is a folder, with their names relative to ``root``."""
    if not path.is_dir():
        return [(path, path.relative_to(root).as_posix())]
    files = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(((file, file.relative_to(root).as_posix()) for file in files), key=lambda pair: pair[1])
