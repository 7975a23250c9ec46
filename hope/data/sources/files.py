"""Find the files of a user's own corpus; imports only the standard library."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from hope.data.sources.document import printable
from hope.errors import UserError, nearest

SUFFIXES = (".txt", ".md", ".jsonl", ".parquet")
"""Suffixes of the files that are read: .txt and .md hold one document, .jsonl and .parquet one document per row."""

PACKED = (".gz", ".zst")
"""Suffixes of compressed files, after one of the others; Parquet compresses by itself."""

IRREGULAR = "no regular file"
"""What is counted in place of a suffix for a pipe, a socket or a device, from which nothing is read."""

REMEDIES = {
    ".json": "write one JSON object per line and name it .jsonl",
    ".ndjson": "name it .jsonl",
    ".csv": "convert it to .jsonl or .parquet",
    ".tsv": "convert it to .jsonl or .parquet",
    ".arrow": "convert it to .parquet",
    ".gz": "name it after what is in it, such as a.jsonl.gz",
    ".zst": "name it after what is in it, such as a.jsonl.zst",
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


def kind_of(path: Path) -> str:
    """Return the one of :data:`SUFFIXES` that says what is in a file, or an empty string if none does."""
    packed = path.suffix.lower() in PACKED
    suffix = Path(path.stem).suffix.lower() if packed else path.suffix.lower()
    return suffix if suffix in SUFFIXES and not (packed and suffix == ".parquet") else ""


def find_files(paths: list[str]) -> tuple[list[tuple[Path, str]], dict[str, int]]:
    """Return the files of ``paths``, each once, and the number of skipped files per suffix.

    A folder gives all files below it except hidden ones; their names begin with the folder's. Links to folders are
    followed. A glob gives the files and folders that it matches; their names begin with its last folder without a
    wildcard.

    Returns:
        (path, name) of each file, and the counts by suffix of the files of other kinds.

    Raises:
        UserError: a path matches nothing, or no file of a known kind; a folder cannot be listed or entered; a link
            leads nowhere.
    """
    files: dict[Path, tuple[Path, str]] = {}
    skipped: Counter[str] = Counter()
    try:
        for given in paths:
            known, others = _sorted_by_kind(given)
            skipped.update(others)
            for path, name in known:
                files.setdefault(path.resolve(), (path, name))
    except PermissionError as error:
        _cannot_list(error)
    return list(files.values()), dict(sorted(skipped.items()))


def _sorted_by_kind(given: str) -> tuple[list[tuple[Path, str]], Counter[str]]:
    """Return the files of known kinds under one entry of ``paths``, and the number of others per suffix."""
    matches = list(_expand(given))
    if not matches and Path(os.path.expanduser(given)).is_dir():
        raise UserError(f"corpus.files.paths: '{given}' leads to no file: the folder has none; put texts into it")
    if not matches:
        raise UserError(f"corpus.files.paths: '{given}' leads to no file{_nearby(given)}")
    known, others = [], Counter[str]()
    for match in matches:
        if kind_of(match[0]) and match[0].is_file():
            known.append(match)
        elif kind_of(match[0]) and not match[0].exists():
            raise UserError(f"{match[0]}: a link that leads to no file; repair or remove it")
        else:
            others[printable(match[0].suffix.lower()) if match[0].is_file() else IRREGULAR] += 1
    if not known:
        suffix = others.most_common(1)[0][0]
        raise UserError(
            f"corpus.files.paths: '{given}' has no file of a known kind, but '{suffix or 'no suffix'}'; "
            f"{REMEDIES.get(suffix) or _similar(suffix)}"
        )
    return known, others


def _similar(suffix: str) -> str:
    """Return the known suffixes and the nearest of them."""
    return f"known are {', '.join(SUFFIXES)}{nearest(suffix, SUFFIXES)}"


def _nearby(given: str) -> str:
    """Return a hint at a similar name in the missing path's folder."""
    path = Path(os.path.expanduser(given))
    try:
        return nearest(path.name, os.listdir(path.parent))
    except OSError:
        return ""


def _expand(given: str) -> Iterator[tuple[Path, str]]:
    """Yield the files under one entry of ``paths``, with their names, in sorted order."""
    path = Path(os.path.abspath(os.path.expanduser(given)))
    if path.exists():
        yield from files_below(path, path.parent)
        return
    # The path of the project's own folder is no pattern, whatever characters it has.
    pattern = os.path.normpath(os.path.join(glob.escape(os.getcwd()), os.path.expanduser(given)))
    both = zip(path.parts, Path(pattern).parts, strict=True)
    fixed = itertools.takewhile(lambda parts: glob.escape(parts[0]) == parts[1], both)
    root = Path(*(part for part, _ in fixed)).parent
    for match in sorted(glob.glob(pattern, recursive=True)):
        yield from files_below(Path(match), root)


def files_below(path: Path, root: Path) -> list[tuple[Path, str]]:
    """Return ``path``, or the files below it if it is a folder, with their names relative to ``root``."""
    if not path.is_dir():
        return [(path, path.relative_to(root).as_posix())]
    files: list[Path] = []
    seen = {path.resolve()}  # A link to a folder above it would lead round in a circle.
    for folder, folders, names in os.walk(path, followlinks=True, onerror=_cannot_list):
        below = [(name, Path(folder, name).resolve()) for name in sorted(folders) if not name.startswith(".")]
        folders[:] = [name for name, real in below if real not in seen]
        seen.update(real for _, real in below)
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(((file, file.relative_to(root).as_posix()) for file in files), key=lambda pair: pair[1])


def _cannot_list(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror}); make it readable or leave it out")
