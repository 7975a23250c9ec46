"""Prepare a corpus: drop exact copies, keep near copies on one side of the split, cut long documents."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hope import config
from hope.data import sources
from hope.data.columns import column, strings
from hope.data.duplicates import group_near_copies, shared_with_training
from hope.data.part_files import DESCRIPTION, LINES, PASSAGE_FILES, PHRASES, RUNS, TEXTS, Part
from hope.data.parts import read_part
from hope.data.prepared import DOCUMENTS
from hope.data.progress import beating
from hope.data.rows import EXAMPLES, Rows, cut_long, drop_copies, weigh
from hope.data.sources.document import Record
from hope.data.split import held_out
from hope.errors import UserError
from hope.files import check_unaltered, sha256_of_file, whole_file, write_json
from hope.paths import part_folder

DOCUMENT_SCHEMA = pa.schema(
    [
        ("document", pa.int64()),
        ("name", pa.large_string()),
        ("source", pa.large_string()),
        ("split", pa.large_string()),
        ("group", pa.int64()),
        ("characters", pa.int64()),
        ("bytes", pa.int64()),
        ("part", pa.int64()),
        ("row", pa.int64()),
    ]
)
LENGTHS = (0, 0.1, 0.5, 0.9, 1)
"""Quantiles of the lengths of documents that are recorded."""

OVERLAPS = (0.0, 0.01, 0.1, 0.5, 1.0)
"""Ends of the classes in which held-out documents are counted by what they share with the training side."""


def prepare_corpus(settings: config.Corpus, output: Path) -> None:
    """Read, clean and split a corpus into ``output``: the parts, ``documents.parquet``, then ``corpus.json``.

    Every number and choice depends on the documents, their order and the settings' seed alone, not on the number of
    shards. In memory are some numbers of each document, and one part's row group of text at a time.

    Args:
        settings: the corpus, its validation side, and how it is prepared. Of several shards, those that
            :func:`hope.data.parts.read_part` has read are taken as they are; a single one is always read again.
        output: a folder; made if missing.

    Raises:
        UserError: a source cannot be read, a part was altered since it was read, the corpus is empty, or it cannot be
            split as the settings ask.
    """
    (output / "corpus.json").unlink(missing_ok=True)  # An older file must not describe newer documents.
    folders = [part_folder(output, part) for part in range(settings.parts)]
    for folder in set((output / "parts").glob("*")) - set(folders):
        shutil.rmtree(folder)
    files = (DESCRIPTION, *PASSAGE_FILES)
    own = [
        index
        for index, folder in enumerate(folders)
        if settings.shards == 1 or not all((folder / name).exists() for name in files)
    ]
    spill = output / ".spill"
    try:
        for index, folder in enumerate(folders):
            if index in own:
                read_part(settings, index, folder)
                continue
            for name in (TEXTS, *PASSAGE_FILES):
                check_unaltered(folder / name)
        _split([Part.open(folder) for folder in folders], settings, output, spill)
    except BaseException:
        for index in own:
            shutil.rmtree(folders[index], ignore_errors=True)
        raise
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    for index in own:
        for name in PASSAGE_FILES:
            (folders[index] / name).unlink()


def digest_of(texts: Iterable[str]) -> str:
    """Return the SHA-256 of all texts in order, each preceded by its length in bytes."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode()
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def _split(parts: list[Part], settings: config.Corpus, output: Path, spill: Path) -> None:
    """Clean and split what was read, and write it down."""
    spill.mkdir(parents=True, exist_ok=True)
    names = list(settings.sources)
    record = Record()
    for part in parts:
        record.add(part.description)
    rows = Rows.of(parts, names)
    if not len(rows.kept):
        raise UserError(sources.no_text(record))
    copies = drop_copies(rows)
    before = rows.kept.sum()
    limit = weigh(rows, names, settings.weights, settings.max_document_share)
    left_out = before - rows.kept.sum()
    cut = cut_long(rows, limit)
    copies += drop_copies(rows)  # Two editions of a book may be the same up to the cut.
    cut = cut[rows.kept[cut]]
    kept = np.flatnonzero(rows.kept)
    # DuckDB gets half of the memory: the numbers of the documents, and what it does not count, need the rest.
    memory = settings.memory_mb // 2
    with beating("corpus near copies"):
        kinds = [rows.passages_of(name, spill) for name in (LINES, RUNS)]
        groups = group_near_copies(kinds, settings.near_duplicate_share, memory, spill)
    validation = held_out(rows.characters[kept], groups, settings.validation, settings.seed)
    with beating("corpus overlap of the sides"):
        shared = shared_with_training(rows.passages_of(PHRASES, spill), validation, memory, spill)
    _write_documents(output / DOCUMENTS, rows, names, groups, validation)
    is_long = rows.characters[kept] >= settings.validation.long_characters
    origins = {name: sources.origin(source) for name, source in settings.sources.items()}
    write_json(
        output / "corpus.json",
        {
            "source": settings.source,
            "origin": origins if settings.source == "mixture" else origins[names[0]],
            "sources": _of_sources(rows, names, validation),
            "documents": len(kept),
            "characters": int(rows.characters[kept].sum()),
            "bytes": int(rows.bytes[kept].sum()),
            "digest": digest_of(rows.texts(kept)),
            "documents_sha256": sha256_of_file(output / DOCUMENTS),
            "parts": [part.description["outputs"][TEXTS]["sha256"] for part in parts],
            "dropped_empty": record.empty,
            "dropped_unreadable": record.unreadable,
            "dropped_duplicates": len(copies),
            "dropped_by_weight": int(left_out),
            "duplicates": [
                {"copy": copy, "kept": original}
                for copy, original in (rows.names(np.array(pair)) for pair in sorted(copies)[:EXAMPLES])
            ],
            "encodings": record.as_json()["encodings"],
            "remarks": record.remarks,
            "remarked": record.remarked,
            "groups": int(groups.max()) + 1,
            "largest_group": int(np.bincount(groups).max()),
            "near_copies": _near_examples(rows, kept, groups),
            "cut_documents": len(cut),
            "cut": rows.names(cut[:EXAMPLES]),
            "overlap": _overlap(rows, kept[validation], shared),
            "split": {
                "train": _counts(rows.characters[kept], is_long, ~validation),
                "validation": _counts(rows.characters[kept], is_long, validation),
            },
        },
    )


def _near_examples(rows: Rows, kept: NDArray[np.int64], groups: NDArray[np.int64]) -> list[list[str]]:
    """Return the names of the first documents of the largest groups of near copies."""
    sizes = np.bincount(groups)
    largest = np.argsort(-sizes, kind="stable")[:EXAMPLES]
    return [rows.names(kept[groups == group][:EXAMPLES]) for group in largest[sizes[largest] > 1]]


def _overlap(rows: Rows, held: NDArray[np.int64], shared: NDArray[np.float64]) -> dict[str, Any]:
    """Return what the held-out documents share with the training side, for ``corpus.json``."""
    most = np.argsort(-shared, kind="stable")[:EXAMPLES]
    most = most[shared[most] > 0]
    ends = [str(end) for end in OVERLAPS]
    classes = np.bincount(np.searchsorted(OVERLAPS, shared), minlength=len(OVERLAPS))
    return {
        "mean": float(shared.mean()),
        "text": float(np.average(shared, weights=rows.characters[held])),
        "most": [
            {"document": name, "share": round(float(shared[index]), 4)}
            for index, name in zip(most, rows.names(held[most]), strict=True)
        ],
        "documents_up_to": dict(zip(ends, classes.tolist(), strict=True)),
    }


def _of_sources(rows: Rows, names: list[str], validation: NDArray[np.bool_]) -> dict[str, dict[str, Any]]:
    """Return the counts of each source: what was read, and what is kept on each side."""
    kept = np.flatnonzero(rows.kept)
    counts = {}
    for number, name in enumerate(names):
        read, mine = rows.source == number, rows.source[kept] == number
        lengths = np.sort(rows.characters[kept[mine]])
        characters = int(lengths.sum())
        counts[name] = {
            "documents_read": int(read.sum()),
            "documents": int(mine.sum()),
            "characters": characters,
            "share": characters / int(rows.characters[kept].sum()),
            "bytes": int(rows.bytes[kept[mine]].sum()),
            "validation_documents": int((mine & validation).sum()),
            "lengths": [int(lengths[round(at * (len(lengths) - 1))]) for at in LENGTHS if characters],
        }
    return counts


def _counts(characters: NDArray[np.int64], is_long: NDArray[np.bool_], side: NDArray[np.bool_]) -> dict[str, int]:
    """Return the counts of one side of the split that ``corpus.json`` records."""
    return {
        "documents": int(side.sum()),
        "characters": int(characters[side].sum()),
        "long_documents": int((side & is_long).sum()),
    }


def _write_documents(
    path: Path, rows: Rows, names: list[str], groups: NDArray[np.int64], validation: NDArray[np.bool_]
) -> None:
    """Write the table of documents, one row group per part."""
    kept, number = np.flatnonzero(rows.kept), 0
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, DOCUMENT_SCHEMA, compression="zstd") as writer:
        for part, inside in rows.by_part(kept):
            numbers = np.arange(number, number + len(inside))
            local = inside - rows.starts[part]
            columns = [
                column(numbers),
                rows.parts[part].names(local).combine_chunks(),
                strings([name.encode() for name in names]).take(column(rows.source[inside])),
                strings([b"train", b"validation"]).take(column(validation[numbers].astype(np.int64))),
                *map(column, (groups[numbers], rows.characters[inside], rows.bytes[inside])),
                column(np.full(len(inside), part)),
                column(local),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=DOCUMENT_SCHEMA))
            number += len(inside)
