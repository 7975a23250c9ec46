"""A folder of tokens by its format, without a corpus and a tokenizer."""

from pathlib import Path

import numpy as np

from hope.files import sha256_of_file, sha256_of_json, write_json


def write_held_out(data: Path, lengths: list[int], vocabulary: int, special: dict[str, int], seed: int) -> Path:
    """Write ``data/validation``: documents of so many random tokens, the last of each the end token; return ``data``.

    Args:
        data: the data folder.
        lengths: tokens of each document.
        vocabulary: number of token ids, of which those from 4 on are drawn.
        special: ids of the special tokens.
        seed: of the random numbers.
    """
    folder = data / "validation"
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    documents = [np.append(random.integers(4, vocabulary, length - 1), special["end"]) for length in lengths]
    tokens = np.concatenate(documents).astype("<u2")
    tokens.tofile(folder / "shard-00000.bin")
    np.concatenate(([0], np.cumsum(lengths))).astype("<i8").tofile(folder / "documents.bin")
    shard = {"file": "shard-00000.bin", "tokens": len(tokens), "sha256": sha256_of_file(folder / "shard-00000.bin")}
    manifest = {
        "format": 1,
        "split": "validation",
        "dtype": "uint16",
        "vocabulary": vocabulary,
        "special": special,
        "tokens": len(tokens),
        "documents": len(lengths),
        "shards": [shard],
        "documents_sha256": sha256_of_file(folder / "documents.bin"),
        "tokenizer_sha256": "0" * 64,
        "corpus_digest": "0" * 64,
        "characters": 4 * len(tokens),
    }
    write_json(folder / "manifest.json", manifest | {"digest": sha256_of_json(manifest)})
    return data
