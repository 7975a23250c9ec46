"""Tokenize a split corpus: write the tokenizer and, for each side, token shards with their manifest."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from hope import config
from hope.data.prepared import read_corpus, read_texts, sampled_places, texts_at
from hope.data.progress import ProgressLines
from hope.data.tokenizer import (
    cuts_at_spaces,
    encode,
    fit_tokenizer,
    load_pretrained,
    pieces_at_spaces,
    save_tokenizer,
    special_ids,
    spells_all,
    unknown_characters,
    vocabulary_size,
)
from hope.data.tokens import FORMAT, shard_name
from hope.errors import UserError
from hope.files import (
    check_unaltered,
    digests_of,
    read_json,
    sha256_of_file,
    sha256_of_json,
    whole_file,
    write_json,
)
from hope.paths import cost_file, part_folder

SPLITS = ("train", "validation")

BATCH_CHARACTERS = 1_000_000
"""Characters encoded at once: keeps every core busy, and takes about 150 MB, since the library describes each token."""

WHOLE_CHARACTERS = 4_000
"""Characters of the longest document per MB of memory, for a tokenizer that encodes each document whole."""

PIECE_TOKENS = 1 << 22
"""Tokens that are copied at once."""


def tokenize_corpus(settings: config.Tokens, corpus: Path, output: Path) -> None:
    """Write ``tokenizer/``, ``train/`` and ``validation/`` under ``output``, each ``manifest.json`` last.

    This is :func:`fit_on_corpus`, :func:`tokenize_part` for each part, and :func:`join_parts`.

    Args:
        settings: the tokenizer and the size of shards.
        corpus: folder that :func:`hope.data.corpus.prepare_corpus` wrote.
        output: the study's folder of tokens.

    Raises:
        UserError: the corpus is missing or altered, or the pretrained tokenizer cannot be used.
    """
    _clear(output)
    parts = len(read_corpus(corpus)["parts"])
    fit_on_corpus(settings, corpus, output / "tokenizer")
    try:
        for part in range(parts):
            tokenize_part(corpus, part, output / "tokenizer", part_folder(output, part))
        join_parts(settings, corpus, output)
    finally:
        shutil.rmtree(output / "parts", ignore_errors=True)


def fit_on_corpus(settings: config.Tokens, corpus: Path, folder: Path) -> None:
    """Write the tokenizer into ``folder``: fitted on the training side, or the pretrained one.

    Of a large corpus the fit takes documents up to ``fit_characters``, in the order of the digests of their texts.
    """
    cost_file(folder, "fit-tokenizer").unlink(missing_ok=True)  # Its digest is that of an older tokenizer.
    if settings.tokenizer == "bpe":
        chosen = sampled_places(corpus, "train", settings.fit_characters)
        print(f"fit the tokenizer: on {chosen.characters.sum():,} characters of the training side", flush=True)
        tokenizer = fit_tokenizer(texts_at(corpus, chosen), settings.vocabulary)
    else:
        tokenizer = load_pretrained(settings)
    save_tokenizer(tokenizer, folder)


def tokenize_part(corpus: Path, part: int, tokenizer: Path, folder: Path, memory_mb: int = 8_000) -> None:
    """Write the tokens of one part of a corpus into ``folder``, each document followed by the end token.

    Args:
        corpus: its folder.
        part: its number.
        tokenizer: folder of the tokenizer.
        folder: gets ``train.bin`` and ``validation.bin`` with the tokens, ``*.lengths.bin`` with the number of tokens
            of each document, and, last, ``tokens.json``.
        memory_mb: memory of the job, in MB.

    Raises:
        UserError: the tokenizer encodes a document whole that is too long for the memory.
    """
    description = read_corpus(corpus, parts=[part])
    check_unaltered(tokenizer / "tokenizer.json", [cost_file(tokenizer, "fit-tokenizer")])
    read = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    dtype, knows_all = _dtype(vocabulary_size(read)), spells_all(read)
    end = np.array([special_ids(read)["end"]], dtype=dtype)
    cut = knows_all and cuts_at_spaces(read)
    unknown, characters = Counter[str](), 0
    for split in SPLITS:
        lengths: list[int] = []
        tokens = 0
        progress = ProgressLines(f"tokenize {split}, part {part + 1} of {len(description['parts'])}")
        with whole_file(folder / f"{split}.bin") as temporary, open(temporary, "wb") as handle:
            for batch in _batches(read_texts(corpus, split, parts=[part])):
                if not cut:
                    _check_longest(max(map(len, batch)), memory_mb)
                if not knows_all:
                    unknown += unknown_characters(read, batch)
                characters += sum(map(len, batch))
                for ids in _encoded(read, batch, cut, dtype):
                    ids.tofile(handle)
                    end.tofile(handle)
                    lengths.append(len(ids) + 1)
                    tokens += lengths[-1]
                progress.report(f"{len(lengths):,} documents, {tokens:,} tokens")
        _write_array(folder / f"{split}.lengths.bin", np.array(lengths, dtype="<i8"))
    outputs = digests_of(sorted(folder.glob("*.bin")), folder)
    write_json(folder / "tokens.json", {"characters": characters, "unknown": dict(unknown), "outputs": outputs})


def join_parts(settings: config.Tokens, corpus: Path, output: Path) -> None:
    """Join the tokens of all parts, in order, and cut them into shards; write each ``manifest.json`` last.

    A shard ends after ``shard_tokens`` tokens, even within a document. The number of parts changes no byte.

    Args:
        settings: the size of shards, and how many characters may be unknown.
        corpus: folder of the corpus.
        output: the study's folder of tokens, with ``tokenizer/`` and what :func:`tokenize_part` wrote.

    Raises:
        UserError: the tokenizer has no token for more than ``unknown_share`` of the characters.
    """
    _clear(output)
    description = read_corpus(corpus, parts=[])
    folders = [part_folder(output, part) for part in range(len(description["parts"]))]
    for folder in folders:
        for path in folder.glob("*.bin"):
            check_unaltered(path)
    tokenizer = Tokenizer.from_file(str(output / "tokenizer" / "tokenizer.json"))
    _check_unknown(settings, folders, output)
    dtype = _dtype(vocabulary_size(tokenizer))
    for split in SPLITS:
        pieces = (piece for folder in folders for piece in _read_pieces(folder / f"{split}.bin", dtype))
        shards = []
        for index, shard in enumerate(_recut(pieces, settings.shard_tokens)):
            path = output / split / shard_name(index)
            _write_array(path, shard)
            shards.append({"file": path.name, "tokens": len(shard), "sha256": sha256_of_file(path)})
        lengths = np.concatenate([np.fromfile(folder / f"{split}.lengths.bin", dtype="<i8") for folder in folders])
        _write_array(output / split / "documents.bin", np.concatenate([[0], np.cumsum(lengths)]).astype("<i8"))
        characters = description["split"][split]["characters"]
        write_manifest(output, split, tokenizer, shards, lengths, characters, description["digest"])


def _clear(output: Path) -> None:
    """Delete older manifests and their shards, so that no manifest describes files that are being replaced."""
    for split in SPLITS:
        (output / split / "manifest.json").unlink(missing_ok=True)
        # The second pattern is of files that a killed job left unfinished.
        for path in (*(output / split).glob("shard-*.bin"), *(output / split).glob(".*.part")):
            path.unlink()


def _check_unknown(settings: config.Tokens, folders: Sequence[Path], output: Path) -> None:
    """Count the characters that the tokenizer has no token for, and refuse too many."""
    characters, unknown = 0, Counter[str]()
    for folder in folders:
        part = read_json(folder / "tokens.json")
        characters += part["characters"]
        unknown.update(part["unknown"])
    share = unknown.total() / max(characters, 1)
    # Of equal counts the first characters: the order of counting depends on the parts.
    examples = dict(sorted(unknown.items(), key=lambda counted: (-counted[1], counted[0]))[:20])
    write_json(output / "unknown.json", {"characters": unknown.total(), "share": share, "examples": examples})
    if share > settings.unknown_share:
        raise UserError(
            f"tokens.pretrained: this tokenizer has no token for {unknown.total():,} of {characters:,} characters "
            f"({share:.1%}), such as {' '.join(list(examples)[:5])}; use a tokenizer for this text, or raise "
            "tokens.unknown_share"
        )


def write_manifest(
    output: Path,
    split: str,
    tokenizer: Tokenizer,
    shards: list[dict[str, Any]],
    lengths: Sequence[int] | NDArray[np.int64],
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
        "tokens": int(sum(lengths)),
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


def _check_longest(characters: int, memory_mb: int) -> None:
    """Refuse a document that does not fit the memory if it is encoded whole."""
    if characters > WHOLE_CHARACTERS * memory_mb:
        raise UserError(
            f"tokens.pretrained: this tokenizer encodes documents whole, and one of {characters:,} characters does not "
            f"fit {memory_mb:,} MB; split the document, or use tokens.tokenizer 'bpe'"
        )


def _encoded(tokenizer: Tokenizer, texts: list[str], cut: bool, dtype: np.dtype[Any]) -> list[NDArray[Any]]:
    """Return the tokens of each text; ``cut``: those of a long one in pieces, which then give the same tokens."""
    if cut and len(texts) == 1:
        pieces = pieces_at_spaces(texts[0], BATCH_CHARACTERS)
        return [np.concatenate([encode(tokenizer, [piece])[0].astype(dtype) for piece in pieces])]
    return [ids.astype(dtype) for ids in encode(tokenizer, texts)]


def _read_pieces(path: Path, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the tokens of a file in pieces."""
    with open(path, "rb") as handle:
        while len(piece := np.fromfile(handle, dtype=dtype, count=PIECE_TOKENS)):
            yield piece


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in lists of at most ``BATCH_CHARACTERS`` characters; a longer text is alone."""
    batch: list[str] = []
    size = 0
    for text in texts:
        size += len(text)
        if batch and size > BATCH_CHARACTERS:
            yield batch
            batch, size = [], len(text)
        batch.append(text)
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
