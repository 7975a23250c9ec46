"""Folders of tokens, written from their format alone, without a corpus, a tokenizer or the code under test."""

import hashlib
import json
from pathlib import Path

import numpy as np

SPECIAL = {"start": 0, "end": 1, "separator": 2, "query": 3}


def write_tokens(
    folder: Path,
    documents: list[list[int]],
    shard_tokens: int = 10_000,
    vocabulary: int = 60_000,
    special: dict[str, int] = SPECIAL,
) -> Path:
    """Write the token ids of documents, each with its end token, into ``folder``; return ``folder``."""
    folder.mkdir(parents=True)
    digests = {}

    def write(name: str, numbers: np.ndarray, kind: str) -> None:
        (folder / name).write_bytes(content := numbers.astype(kind).tobytes())
        digests[name] = hashlib.sha256(content).hexdigest()

    stream, shards = np.concatenate(documents), []
    for index, start in enumerate(range(0, len(stream), shard_tokens)):
        part, name = stream[start : start + shard_tokens], f"shard-{index:05d}.bin"
        write(name, part, "<u2")
        shards.append({"file": name, "tokens": len(part), "sha256": digests[name]})
    write("documents.bin", np.cumsum([0, *map(len, documents)]), "<i8")
    manifest = {
        "format": 1,
        "split": folder.name,
        "dtype": "uint16",
        "vocabulary": vocabulary,
        "special": special,
        "tokens": len(stream),
        "documents": len(documents),
        "characters": 3 * len(stream),
        "shards": shards,
        "documents_sha256": digests["documents.bin"],
        "tokenizer_sha256": "0" * 64,
        "corpus_digest": "0" * 64,
    }
    manifest["digest"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_held_out(data: Path, lengths: list[int], vocabulary: int, special: dict[str, int], seed: int) -> Path:
    """Write ``data/validation`` and return ``data``: documents of these lengths, of random tokens from 4 on."""
    random = np.random.default_rng(seed)
    documents = [[*random.integers(4, vocabulary, length - 1), special["end"]] for length in lengths]
    write_tokens(data / "validation", documents, sum(lengths), vocabulary, special)
    return data
