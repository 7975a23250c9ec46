"""Tokenize a split corpus: write the tokenizer and, for each side, token shards with their manifest."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hope import config
from hope.data.corpus import read_corpus, read_texts
from hope.data.progress import ProgressLines
from hope.data.tokenizer import encode, fit_tokenizer, load_pretrained, save_tokenizer, special_ids, vocabulary_size
from hope.data.tokens import FORMAT, shard_name
from hope.files import sha256_of_file, sha256_of_json, whole_file, write_json

SPLITS = ("train", "validation")

BATCH_CHARACTERS = 4_000_000
"""Characters encoded at once: keeps every core busy, and the memory below some hundred MB."""


def tokenize_corpus(settings: config.Tokens, corpus: Path, output: Path) -> None:
    """Write ``tokenizer/``, ``train/`` and ``validation/`` under ``output``, each ``manifest.json`` last.

    The tokenizer is fitted on the training side alone. Documents are joined in order, each followed by the end
    token. A shard ends after ``shard_tokens`` tokens, even within a document.

    Args:
        settings: the tokenizer and the size of shards.
        corpus: folder that :func:`hope.data.corpus.prepare_corpus` wrote.
        output: the study's folder of tokens.

    Raises:
        UserError: the corpus is missing or altered, or the pretrained tokenizer cannot be used.
    """
    for split in SPLITS:
        _clear(output / split)
    description = read_corpus(corpus)
    if settings.tokenizer == "bpe":
        tokenizer = fit_tokenizer(read_texts(corpus, "train"), settings.vocabulary)
    else:
        tokenizer = load_pretrained(settings)
    save_tokenizer(tokenizer, output / "tokenizer")
    for split in SPLITS:
        _write_split(settings, tokenizer, corpus, description, split, output)


def _clear(folder: Path) -> None:
    """Delete an older manifest and its shards, so that no manifest describes files that are being replaced."""
    (folder / "manifest.json").unlink(missing_ok=True)
    for path in folder.glob("shard-*.bin"):
        path.unlink()


def _write_split(
    settings: config.Tokens, tokenizer: Tokenizer, corpus: Path, description: dict[str, Any], split: str, output: Path
) -> None:
    """Write one side: first its shards, then the document offsets, then the manifest."""
    folder, dtype = output / split, _dtype(vocabulary_size(tokenizer))
    expected = description["split"][split]
    lengths: list[int] = []
    encoded = _encoded(tokenizer, read_texts(corpus, split), lengths, f"tokenize {split}", expected["documents"])
    shards = []
    for index, shard in enumerate(_recut((ids.astype(dtype) for ids in encoded), settings.shard_tokens)):
        path = folder / shard_name(index)
        _write_array(path, shard)
        shards.append({"file": path.name, "tokens": len(shard), "sha256": sha256_of_file(path)})
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")
    _write_array(folder / "documents.bin", offsets)
    write_manifest(output, split, tokenizer, shards, lengths, expected["characters"], description["digest"])


def write_manifest(
    output: Path,
    split: str,
    tokenizer: Tokenizer,
    shards: list[dict[str, Any]],
    lengths: list[int],
    characters: int,
    corpus_digest: str,
) -> None:
    """Write the manifest of one side, with the SHA-256 of each of its files.

    Args:
        output: the folder of tokens, with ``tokenizer/`` and the side's files in it.
        split: the side, one of :data:`SPLITS`.
        tokenizer: the tokenizer.
        shards: name, tokens and SHA-256 of each shard.
        lengths: tokens of each document, its end token included.
        characters: length of the text.
        corpus_digest: SHA-256 of the text.
    """
    vocabulary = vocabulary_size(tokenizer)
    manifest = {
        "format": FORMAT,
        "split": split,
        "dtype": _dtype(vocabulary).name,
        "vocabulary": vocabulary,
        "special": special_ids(tokenizer),
        "tokens": sum(lengths),
        "documents": len(lengths),
        "characters": characters,
        "shards": shards,
        "documents_sha256": sha256_of_file(output / split / "documents.bin"),
        "tokenizer_sha256": sha256_of_file(output / "tokenizer" / "tokenizer.json"),
        "corpus_digest": corpus_digest,
    }
    write_json(output / split / "manifest.json", manifest | {"digest": sha256_of_json(manifest)})


def _dtype(vocabulary: int) -> np.dtype[Any]:
    """Return the smallest type of the format that holds every token id."""
    return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")


def _encoded(
    tokenizer: Tokenizer, texts: Iterable[str], lengths: list[int], label: str, documents: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the tokens of each text, the end token last; append their number to ``lengths``."""
    progress = ProgressLines(label)
    end = special_ids(tokenizer)["end"]
    for batch in _batches(texts):
        for ids in encode(tokenizer, batch):
            lengths.append(len(ids) + 1)
            yield np.append(ids, end)
        progress.report(f"{len(lengths):,} of {documents:,} documents, {sum(lengths):,} tokens")


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in lists of about ``BATCH_CHARACTERS`` characters."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _recut(pieces: Iterable[NDArray[Any]], size: int) -> Iterator[NDArray[Any]]:
    """Join the pieces and cut them again: every array but the last has ``size`` elements."""
    waiting: list[NDArray[Any]] = []
    held = 0
    for piece in pieces:
        waiting.append(piece)
        held += len(piece)
        while held >= size:
            joined = np.concatenate(waiting)
            yield joined[:size]
            waiting, held = [joined[size:]], held - size
    if held:
        yield np.concatenate(waiting)


def _write_array(path: Path, array: NDArray[Any]) -> None:
    with whole_file(path) as temporary:
        array.tofile(temporary)
