"""Preparing the text: disk, memory and processor hours, from the size of the corpus and measured speeds."""

from dataclasses import dataclass

from hope.config import Arm, TextSource
from hope.data.sources.files import PACKED, find_files
from hope.errors import UserError

BYTES_PER_TOKEN = 4.3
"""Bytes of text per token: English with GPT-2's tokenizer. A small vocabulary and other scripts have fewer."""

DOCUMENT_BYTES = 4_300.0
"""Bytes of a document of web text, as in FineWeb-Edu."""

COMPRESSED = 3.0
"""Bytes of text per byte of a compressed file."""

SPEED = 1.2e6
"""Bytes of text per second that one core prepares, all stages together (``python -m benchmarks.data``)."""

STAYS, MEANWHILE = 0.5, 1.0
"""Bytes on the disk per byte of text, without the tokens: the compressed texts, which stay, and the passages and
DuckDB's files, which are deleted."""

MEMORY, MEMORY_OF_DOCUMENT = 500.0e6, 150.0
"""Bytes that the job that splits the corpus holds beside DuckDB's half of ``corpus.memory_mb``: for Python and its
libraries, and per document."""


@dataclass(frozen=True)
class Preparation:
    """What preparing the text of an arm takes.

    Attributes:
        text: bytes of the text.
        documents: their number.
        stays: bytes of the texts that stay on the disk.
        meanwhile: bytes on the disk that are deleted at the end.
        memory: bytes of the largest job.
        core_hours: processor hours, all jobs together.
        jobs: number of jobs that run side by side.
    """

    text: float
    documents: float
    stays: float
    meanwhile: float
    memory: float
    core_hours: float
    jobs: int


def preparation(arm: Arm) -> Preparation | None:
    """Return what preparing the text of an arm takes; None for an arm that reads no text.

    A corpus of which a source's size is not known is taken to be as large as a training that sees every token once.
    """
    if not arm.reads_text:
        return None
    corpus = arm.corpus
    sizes = [_size(source) for source in corpus.sources.values()]
    text = sum(sizes) if all(sizes) else arm.training.tokens * BYTES_PER_TOKEN
    documents = text / DOCUMENT_BYTES
    needed = MEMORY + MEMORY_OF_DOCUMENT * documents + corpus.memory_mb * 1e6 / 2
    return Preparation(
        text=text,
        documents=documents,
        stays=STAYS * text,
        meanwhile=MEANWHILE * text,
        memory=max(needed, corpus.memory_mb * 1e6),
        core_hours=text / SPEED / 3600,
        jobs=corpus.parts if corpus.shards > 1 else 1,
    )


def _size(source: TextSource) -> float:
    """Return the bytes of a source's text, from the number of documents or the files; 0 if neither is known."""
    if source.source == "hub":
        return source.hub.documents * DOCUMENT_BYTES
    if source.source != "files":
        return 0.0
    try:
        paths = [path for path, _ in find_files(source.files.paths)[0]]
    except UserError:
        return 0.0  # A study may be planned before its text is here.
    packed = (*PACKED, ".parquet")
    return sum(path.stat().st_size * (COMPRESSED if path.suffix.lower() in packed else 1.0) for path in paths)
