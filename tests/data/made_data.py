"""Text made for the tests of this room, and the table of a prepared corpus."""

from pathlib import Path

import numpy as np
import pandas as pd

from hope.data.prepared import read_texts

WORDS = ["wave", "angle", "turn", "head", "query", "key", "value", "past", "near", "far", "light", "stone", "river"]


def prose(seed: int, sentences: int) -> str:
    """Return made-up sentences, one per line; different seeds share almost no line."""
    rng = np.random.default_rng(seed)
    lines = [" ".join(rng.choice(WORDS, size=9)).capitalize() + f" {rng.integers(1000)}." for _ in range(sentences)]
    return "\n".join(lines) + "\n"


def table_of(corpus: Path) -> pd.DataFrame:
    """Return the table of the documents of a prepared corpus, with their texts."""
    table = pd.read_parquet(corpus / "documents.parquet")
    for split in ("train", "validation"):
        table.loc[table.split == split, "text"] = list(read_texts(corpus, split))
    return table
