"""Text and token folders made for the tests of this room."""

import hashlib
import json
from pathlib import Path

import numpy as np

WORDS = ["wave", "angle", "turn", "head", "query", "key", "value", "past", "near", "far", "light", "stone", "river"]


def prose(seed: int, sentences: int) -> str:
    """Return paragraphs of made-up sentences; different seeds share next to no line."""
    rng = np.random.default_rng(seed)
    lines = [" ".join(rng.choice(WORDS, size=9)).capitalize() + f" {rng.integers(1000)}." for _ in range(sentences)]
    return "\n".join(lines) + "\n"


def write_tokens(
    folder: Path, documents: list[list[int]], shard_tokens: int = 10_000, vocabulary: int = 60_000
) -> Path:
    """Write a token folder byte by byte from what its format says, without the code under test."""
    folder.mkdir(parents=True)
    stream = [token for document in documents for token in document]
    starts = [sum(map(len, documents[:index])) for index in range(len(documents) + 1)]
    shards = []
    for index, start in enumerate(range(0, len(stream), shard_tokens)):
        part = stream[start : start + shard_tokens]
        content = b"".join(token.to_bytes(2, "little") for token in part)
        (folder / f"shard-{index:05d}.bin").write_bytes(content)
        shards.append(
            {"file": f"shard-{index:05d}.bin", "tokens": len(part), "sha256": hashlib.sha256(content).hexdigest()}
        )
    offsets = b"".join(start.to_bytes(8, "little") for start in starts)
    (folder / "documents.bin").write_bytes(offsets)
    manifest = {
        "format": 1,
        "split": folder.name,
        "dtype": "uint16",
        "vocabulary": vocabulary,
        "special": {"start": 0, "end": 1, "separator": 2, "query": 3},
        "tokens": len(stream),
        "documents": len(documents),
        "characters": 3 * len(stream),
        "shards": shards,
        "documents_sha256": hashlib.sha256(offsets).hexdigest(),
        "tokenizer_sha256": "",
        "corpus_digest": "",
    }
    manifest["digest"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
