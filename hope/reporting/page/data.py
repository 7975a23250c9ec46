"""What the report says about a corpus: its sources, what was dropped, and what the sides of the split share."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope.data.columns import read_columns, where_equal
from hope.data.prepared import DOCUMENTS
from hope.paths import StudyPaths
from hope.reporting.page.records import read_if_there

SPLITS = ("train", "validation")


def data_view(paths: StudyPaths, key: str) -> dict[str, Any]:
    """Return the facts about one corpus and its tokens; empty for a corpus that was not prepared to its end.

    Args:
        paths: of the study.
        key: of the data.
    """
    corpus = read_if_there(paths.corpus(key) / "corpus.json")
    if "sources" not in corpus:
        return {}
    tokens = _tokens_of_sources(paths.corpus(key) / DOCUMENTS, paths.data(key), list(corpus["sources"]))
    sources = [{"name": name, **facts, "tokens": int(tokens.get(name, 0))} for name, facts in corpus["sources"].items()]
    return {"corpus": corpus, "sources": sources, "unknown": read_if_there(paths.data(key) / "unknown.json")}


def _tokens_of_sources(documents: Path, data: Path, sources: list[str]) -> dict[str, int]:
    """Return the number of tokens of each source, both sides together; empty if something is missing."""
    files = {split: data / split / "documents.bin" for split in SPLITS}
    if not documents.exists() or not all(path.exists() for path in files.values()):
        return {}
    split, source = read_columns(documents, "split", "source")
    tokens: NDArray[np.int64] = np.zeros(len(split), dtype=np.int64)
    for name, path in files.items():
        tokens[where_equal(split, name)] = np.diff(np.fromfile(path, dtype="<i8"))
    return {name: int(tokens[where_equal(source, name)].sum()) for name in sources}
