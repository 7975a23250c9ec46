"""Tokens on disk, memory-mapped: shards of ids, offsets of documents, and a manifest that vouches for both."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope.errors import UserError
from hope.files import read_json, sha256_of_file, sha256_of_json

FORMAT = 1
"""Version of the layout; a reader refuses another."""

AGAIN = "delete the folder and tokenize the corpus again"


def shard_name(index: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{index:05d}.bin"


@dataclass(frozen=True)
class TokenCorpus:
    """One side of a tokenized corpus; reading copies only what is asked for.

    Attributes:
        folder: where it lies.
        vocabulary: number of token ids, special ones included.
        special: ids of the start, end, separator and query tokens.
        tokens: how many tokens there are, end tokens included.
        offsets: where each document starts in the stream, and where the last one ends [documents + 1].
        digest: names the content: tokens, documents and tokenizer.
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
    _start_counts: dict[int, NDArray[np.int64]] = field(repr=False, default_factory=dict)

    @classmethod
    def open(cls, folder: Path, verify: bool = False) -> "TokenCorpus":
        """Open a folder that holds ``manifest.json``.

        Args:
            folder: ``train`` or ``validation`` of a study's ``data``.
            verify: read every file to its end and compare its SHA-256 too, not only the sizes.

        Raises:
            UserError: a file is missing, truncated or altered, or the manifest is of another format.
        """
        manifest = _read_manifest(folder / "manifest.json")
        try:
            dtype = np.dtype(manifest["dtype"]).newbyteorder("<")
            counts = [shard["tokens"] for shard in manifest["shards"]]
            for shard in manifest["shards"]:
                _check_file(folder / shard["file"], shard["tokens"] * dtype.itemsize, shard["sha256"], verify)
            documents = folder / "documents.bin"
            _check_file(documents, (manifest["documents"] + 1) * 8, manifest["documents_sha256"], verify)
            offsets = np.fromfile(documents, dtype="<i8")
            consistent = sum(counts) == offsets[-1] == manifest["tokens"] and offsets[0] == 0
            if not consistent or (np.diff(offsets) < 1).any():
                raise UserError(f"{documents}: its offsets do not fit the manifest; {AGAIN}")
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
            raise UserError(f"{folder / 'manifest.json'}: incomplete ({error}); {AGAIN}") from None

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document, its end token included [documents]."""
        return np.diff(self.offsets)

    def document(self, index: int) -> NDArray[np.int64]:
        """Return the tokens of a document, its end token included [length]."""
        if not 0 <= index < self.documents:
            raise IndexError(f"document {index} of {self.documents}")
        start = int(self.offsets[index])
        return self.read(start, int(self.offsets[index + 1]) - start)

    def read(self, start: int, count: int) -> NDArray[np.int64]:
        """Return ``count`` tokens of the stream of joined documents, from ``start`` on [count]."""
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
        """Return ``count`` neighbouring tokens from a random place [count].

        They lie within one document, before its end token, where one is as long; else anywhere in the stream
        of joined documents.

        Raises:
            UserError: there are fewer tokens in all.
        """
        if count > self.tokens:
            raise UserError(
                f"{self.folder}: holds {self.tokens:,} tokens, but a prompt asks for {count:,} of text; "
                "leave out the longest retrieval.multiples, or bring more text"
            )
        counts = self.start_counts(count + 1)
        if not counts[-1]:
            return self.read(int(random.integers(self.tokens - count + 1)), count)
        spot = int(random.integers(counts[-1]))
        document = int(np.searchsorted(counts, spot, side="right"))
        before = int(counts[document - 1]) if document else 0
        return self.read(int(self.offsets[document]) + spot - before, count)

    def start_counts(self, body: int) -> NDArray[np.int64]:
        """Return how many windows of ``body`` tokens start in the documents up to each one [documents].

        A window lies within its document, so a document of n tokens has n - body + 1 of them, or none.
        """
        if body not in self._start_counts:
            self._start_counts[body] = np.cumsum(np.maximum(self.lengths - body + 1, 0))
        return self._start_counts[body]


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return a manifest of our format that nobody edited.

    Raises:
        UserError: it is missing, of another format, or altered.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; tokenize the corpus first")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{path}: not a manifest of format {FORMAT}; {AGAIN}")
    digest = sha256_of_json({key: value for key, value in manifest.items() if key != "digest"})
    if manifest.get("digest") != digest:
        raise UserError(f"{path}: altered since it was written; {AGAIN}")
    return manifest


def _check_file(path: Path, size: int, sha256: str, verify: bool) -> None:
    """Compare a file with what the manifest says of it.

    Raises:
        UserError: it is missing, or differs in size or, with ``verify``, in content.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing, though the manifest names it; {AGAIN}")
    found = path.stat().st_size
    if found != size:
        raise UserError(f"{path}: holds {found:,} bytes where the manifest says {size:,}; {AGAIN}")
    if verify and sha256_of_file(path) != sha256:
        raise UserError(f"{path}: altered since it was written; {AGAIN}")
