"""What the report says about a corpus: its sources, what was dropped, and what the sides of the split share."""

from typing import Any

from hope.paths import StudyPaths
from hope.reporting.documents import read_documents
from hope.reporting.page.records import read_if_there


def data_view(paths: StudyPaths, key: str) -> dict[str, Any]:
    """Return the facts about one corpus and its tokens; empty for a corpus that was not prepared to its end.

    Args:
        paths: of the study.
        key: of the data.
    """
    corpus = read_if_there(paths.corpus(key) / "corpus.json")
    if "sources" not in corpus:
        return {}
    documents = read_documents(paths, key)
    tokens = dict(documents.groupby("source")["tokens"].sum()) if len(documents) else {}
    sources = [{"name": name, **facts, "tokens": int(tokens.get(name, 0))} for name, facts in corpus["sources"].items()]
    return {"corpus": corpus, "sources": sources, "unknown": read_if_there(paths.data(key) / "unknown.json")}
