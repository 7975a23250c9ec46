"""Tokens on disk, memory-mapped: shards of token ids, offsets of documents, and a manifest with their SHA-256."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope.errors import UserError
from hope.files import read_json, sha256_of_file, sha256_of_json

FORMAT = 1
"""Version of the layout; other versions are refused."""


def shard_name(index: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{index:05d}.bin"


@dataclass(frozen=True)
class TokenCorpus:
    """One side of a tokenized corpus: a stream of joined documents. Reading copies only the requested tokens.

    Attributes:
        folder: the files' folder.
        vocabulary: number of token ids, special ones included.
        special: ids of the start, end, separator and query tokens.
        tokens: number of tokens, end tokens included.
        offsets: start of each document in the stream, then the end of the last one [documents + 1].
        digest: SHA-256 of the manifest, and so of tokens, documents and tokenizer.
    """

    folder: Path
    vocabulary: int
    special: dict[str, int]
    tokens: int
    offsets: NDArray[np.int64] = field(repr=False)
    digest: str
    manifest: dict[str, Any] = field(repr=False)
    _shards: list[NDArray[Any]] = field(repr=False)
    _shard_starts: NDArray[np.int64] = field(repr=False)
    _window_counts: dict[int, NDArray[np.int64]] = field(repr=False, default_factory=dict)

    @classmethod
    def open(cls, folder: Path, verify: bool = False) -> "TokenCorpus":
        """Open the tokens of one side.

        Args:
            folder: ``train`` or ``validation``, with ``manifest.json``.
            verify: compare the SHA-256 of the shards too, not only their sizes.

        Raises:
            UserError: a file is missing, truncated or altered, or the manifest is of another format.
        """
        manifest = _read_manifest(folder / "manifest.json")
        try:
            dtype = np.dtype(manifest["dtype"]).newbyteorder("<")
            counts = [shard["tokens"] for shard in manifest["shards"]]
            for shard in manifest["shards"]:
                if Path(shard["file"]).name != shard["file"]:
                    raise _damaged(folder / "manifest.json", f"names {shard['file']!r}, no file of its folder")
                _check_file(folder / shard["file"], shard["tokens"] * dtype.itemsize, shard["sha256"], verify)
            documents = folder / "documents.bin"
            _check_file(documents, (manifest["documents"] + 1) * 8, manifest["documents_sha256"], verify=True)
            offsets = np.fromfile(documents, dtype="<i8")
            consistent = sum(counts) == offsets[-1] == manifest["tokens"] and offsets[0] == 0
            if not consistent or (np.diff(offsets) < 1).any():
                raise _damaged(documents, "its offsets do not fit the manifest")
            return cls(
                folder=folder,
                vocabulary=manifest["vocabulary"],
                special=manifest["special"],
                tokens=manifest["tokens"],
                offsets=offsets,
                digest=manifest["digest"],
                manifest=manifest,
                _shards=[np.memmap(folder / shard["file"], dtype=dtype, mode="r") for shard in manifest["shards"]],
                _shard_starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            )
        except (KeyError, TypeError, IndexError) as error:
            raise _damaged(folder / "manifest.json", f"incomplete ({error})") from None

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens per document, the end token included [documents]."""
        return np.diff(self.offsets)

    def document(self, index: int) -> NDArray[np.int64]:
        """Return the tokens of a document, the end token included [length]."""
        if not 0 <= index < self.documents:
            raise IndexError(f"document {index} of {self.documents}")
        start = int(self.offsets[index])
        return self.read(start, int(self.offsets[index + 1]) - start)

    def read(self, start: int, count: int) -> NDArray[np.int64]:
        """Return ``count`` tokens of the stream, from ``start`` on [count]."""
        if start < 0 or count < 0 or start + count > self.tokens:
            raise IndexError(f"tokens {start} to {start + count} of {self.tokens}")
        result = np.empty(count, dtype=np.int64)
        done = 0
        while done < count:
            shard = int(np.searchsorted(self._shard_starts, start + done, side="right")) - 1
            inside = start + done - int(self._shard_starts[shard])
            piece = self._shards[shard][inside : inside + count - done]
            result[done : done + len(piece)] = piece
            done += len(piece)
        return result

    def span(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Return ``count`` consecutive tokens from a random place [count].

        They lie within one document, before its end token, if any document is as long; otherwise anywhere in the
        stream.

        Raises:
            UserError: the stream has fewer tokens.
        """
        if count > self.tokens:
            raise UserError(
                f"{self.folder}: holds {self.tokens:,} tokens, but a prompt asks for {count:,} of text; "
                "leave out the longest retrieval.multiples, or add text"
            )
        possible = self.window_count(count + 1)
        if not possible:
            return self.read(int(random.integers(self.tokens - count + 1)), count)
        return self.read(int(self.window_starts(random.integers(possible, size=1), count + 1)[0]), count)

    def window_count(self, body: int) -> int:
        """Return the number of windows of ``body`` tokens that lie within a document."""
        return int(self._windows_up_to(body)[-1])

    def window_starts(self, numbers: NDArray[np.int64], body: int) -> NDArray[np.int64]:
        """Return where windows of ``body`` tokens that lie within a document start in the stream [like numbers].

        Args:
            numbers: of the windows, counted from 0 through all documents.
            body: tokens of a window.
        """
        counts = self._windows_up_to(body)
        documents = np.searchsorted(counts, numbers, side="right")
        before = np.where(documents > 0, counts[documents - 1], 0)
        return self.offsets[documents] + numbers - before

    def _windows_up_to(self, body: int) -> NDArray[np.int64]:
        """Return the number of windows within the documents up to each one [documents]: n - body + 1 for n tokens."""
        if body not in self._window_counts:
            self._window_counts[body] = np.cumsum(np.maximum(self.lengths - body + 1, 0))
        return self._window_counts[body]


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of a folder after checking its digest.

    Raises:
        UserError: it is missing, of another format, or altered.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; tokenize the corpus first")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _damaged(path, f"not a manifest of format {FORMAT}")
    digest = sha256_of_json({key: value for key, value in manifest.items() if key != "digest"})
    if manifest.get("digest") != digest:
        raise _damaged(path, "altered since it was written")
    return manifest


def _check_file(path: Path, size: int, sha256: str, verify: bool) -> None:
    """Compare a file with its entry in the manifest.

    Raises:
        UserError: it is missing, or differs in size or, with ``verify``, in content.
    """
    if not path.is_file():
        raise _damaged(path, "missing, though the manifest names it")
    actual = path.stat().st_size
    if actual != size:
        raise _damaged(path, f"holds {actual:,} bytes, but the manifest lists {size:,}")
    if verify and sha256_of_file(path) != sha256:
        raise _damaged(path, "altered since it was written")


def _damaged(path: Path, what: str) -> UserError:
    """Return the error for a damaged file of a folder of tokens."""
    return UserError(f"{path}: {what}; delete the folder {path.parent} and run the study again")
