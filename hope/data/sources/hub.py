"""A dataset of the Hugging Face hub, streamed; only data files are read, no code is executed."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hope.config import Hub, TextSource
from hope.data.sources.document import Document, Record, Shard, text_of
from hope.errors import UserError


def read(source: TextSource, record: Record, shard: Shard) -> Iterator[Document]:
    """Yield a shard of the first ``source.hub.documents`` documents of a dataset, at the given revision.

    The dataset may also be a local folder in the hub's layout, which has no revision. Each shard has as many rows. It
    skips what lies before it: whole files where they are Parquet, whose rows are counted without reading them, and
    row by row elsewhere.

    Raises:
        UserError: the hub does not answer, has no such dataset, configuration, split or revision, or
            the text field is missing.
    """
    # datasets >= 4 always refuses loading scripts, the only code that a dataset could contain.
    import datasets

    hub = source.hub
    first, end = shard.span(hub.documents)
    datasets.disable_progress_bars()
    try:
        options = {"name": hub.name, "revision": None if hub.folder else hub.revision}
        stream = datasets.load_dataset(_place(hub), **options, split=hub.split, streaming=True)
        before = 0
        if first:
            stream, before = _from_file(stream, _rows_of_files(hub, options), first)
        rows = itertools.islice(stream, first - before, end - before)
        for number, row in enumerate(rows, start=first):
            where = f"corpus.hub: row {number} of '{hub.dataset}'"
            text = text_of(row, hub.text_field, where, "corpus.hub.text_field")
            if document := record.document(f"{hub.split}:{number}", text):
                yield document
    except UserError:
        raise
    except Exception as error:  # The client raises the errors of many libraries below it.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UserError(
            f"corpus.hub: '{hub.dataset}' cannot be read ({reason}); check dataset, name, split and revision, and the "
            "connection (or use corpus.source 'files' on downloaded files)"
        ) from error


def origin(source: TextSource) -> dict[str, Any]:
    """Return the dataset with its configuration, split and revision."""
    hub = source.hub
    return {
        "dataset": hub.folder.name if hub.folder else hub.dataset,
        "name": hub.name,
        "split": hub.split,
        "revision": None if hub.folder else hub.revision,
        "rows": hub.documents,
    }


def _place(hub: Hub) -> str:
    """Return the dataset as the client takes it."""
    return str(hub.folder) if hub.folder else hub.dataset


def _rows_of_files(hub: Hub, options: dict[str, Any]) -> list[int]:
    """Return the rows of each file of the dataset; empty if only reading them would tell."""
    import datasets
    import fsspec
    import pyarrow.parquet as pq

    files = (datasets.load_dataset_builder(_place(hub), **options).config.data_files or {}).get(hub.split, [])
    if not files or any(Path(file).suffix != ".parquet" for file in files):
        return []
    rows = []
    for file in files:
        with fsspec.open(file) as handle:
            rows.append(pq.ParquetFile(handle).metadata.num_rows)
    return rows


def _from_file(stream: Any, rows: list[int], first: int) -> tuple[Iterable[dict[str, Any]], int]:
    """Return the rows from the start of the file in which row ``first`` lies, and the number of rows before it."""
    if len(rows) < 2 or len(rows) != stream.num_shards:
        return stream, 0
    ends = list(itertools.accumulate(rows))
    file = next((index for index, end in enumerate(ends) if end > first), len(rows))
    parts = (stream.shard(num_shards=len(rows), index=index) for index in range(file, len(rows)))
    return itertools.chain.from_iterable(parts), ends[file - 1] if file else 0
