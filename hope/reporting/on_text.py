"""What the commands on a checkpoint and the user's own text share: the text, its windows, and the folder of results."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope import config
from hope.analysis.text_windows import text_windows
from hope.catalogue import FAMILIES
from hope.config.data import Files
from hope.data.sources import collect
from hope.errors import UserError
from hope.files import exclusive_lock, sha256_of_json, write_text
from hope.interchange.causal_lm import CausalLM
from hope.interchange.opening import Opened
from hope.interchange.whole_folder import make_folder
from hope.reporting.figures.draw import draw_one, write_figure
from hope.reporting.study_tables import ArmTables


@dataclass(frozen=True)
class Text:
    """The windows that a model reads.

    Attributes:
        windows: token ids ``[windows, length + 1]``.
        sources: the document of each.
        length: tokens that the model reads of each.
        documents: number of documents given.
        tokens: number of their tokens.
    """

    windows: NDArray[np.int64]
    sources: NDArray[np.int64]
    length: int
    documents: int
    tokens: int

    @property
    def digest(self) -> str:
        """SHA-256 of the windows."""
        return sha256_of_json(self.windows.tolist())


def name_of(checkpoint: Path) -> str:
    """Return the name of a checkpoint: that of its folder, or ``ENCODING-seedN`` for a folder named after a seed."""
    folder = checkpoint.resolve()
    return f"{folder.parent.name}-{folder.name}" if re.fullmatch(r"seed\d+", folder.name) else folder.name


def study_of(
    checkpoint: Path, opened: Opened, trained: int, looked: int, title: str, measured: dict[str, Any]
) -> config.Study:
    """Return the config of a study of this one model, which the tables and figures need.

    Args:
        checkpoint: the model's folder.
        opened: the model.
        trained: its training length, in tokens.
        looked: L of the measurements, in tokens.
        title: of the page.
        measured: the sections of the config on what is measured.
    """
    encoding, frequencies = opened.encoding, getattr(opened.model.encoding, "frequencies", None)
    family, settings = encoding.family, encoding.settings
    if looked != trained and frequencies is not None and family in FAMILIES and FAMILIES[family].rotary:
        # Some rotary families derive their frequencies from the training length, which is another one in this config.
        family, settings = "rotary", {"frequencies": frequencies.tolist()}
    # The rules of a study's name; the title has that of the folder.
    name = re.sub(r"[^A-Za-z0-9._-]", "-", name_of(checkpoint)).lstrip("._-")[:100]
    content: dict[str, Any] = {
        "study": name or "checkpoint",
        "encodings": [encoding.name],
        "definitions": {encoding.name: {"family": family, "settings": settings}},
        "seeds": {"count": 1},
        "model": opened.sizes.model_dump(),
        "training": {"length": looked, "snapshots": 0},
        "mixture": {"share": 0.0, "tasks": {}, "multiples": [1.0]},
        "extrapolation": {"contexts": [1.0], "longest": 2, "targets": 1, "extensions": []},
        "retrieval": {"tasks": [], "multiples": [1.0]},
        "report": {"title": title},
    }
    return config.parse_study(content | measured, str(checkpoint))


def read_texts(paths: list[str], field: str, output: Path) -> list[str]:
    """Return the texts of the documents in the user's files.

    Args:
        paths: files, folders or globs.
        field: the field or column of the text in .jsonl and .parquet.
        output: the folder of results, which must not exist yet.

    Raises:
        UserError: a file cannot be read, or ``output`` exists.
    """
    if os.path.lexists(output):
        raise UserError(f"{output}: is there already, and is not overwritten; name another folder with --output")
    asked = config.TextSource(source="files", files=Files(paths=paths, text_field=field))
    try:
        return [document.text for document in collect(asked)]
    except UserError as error:
        said = str(error).replace("corpus.files.paths", "--text").replace("set corpus.files.text_field", "give --field")
        raise UserError(said) from None


def windows_of(
    documents: Sequence[NDArray[np.int64]],
    start: list[int],
    count: int,
    reaches: Sequence[int],
    fewest: int,
    remedy: str = "",
) -> Text:
    """Return windows of the longest of the ``reaches``, in tokens and falling, that the text has ``fewest`` of.

    Args:
        documents: token ids of each.
        start: token ids at the beginning of every window, counted in its length.
        count: windows wanted.
        reaches: lengths of windows.
        fewest: windows needed.
        remedy: what helps besides more text, for the error.

    Raises:
        UserError: the text has too few windows even of the last.
    """
    for reach in reaches:
        windows, sources = text_windows(documents, count, reach, start)
        if len(windows) >= fewest:
            return Text(windows, sources, reach, len(documents), sum(map(len, documents)))
    longest = max(map(len, documents))
    raise UserError(
        f"--text: {fewest} windows of {reaches[-1] + 1 - len(start):,} tokens are needed, each within a document, but "
        f"the longest of {len(documents):,} has {longest:,} tokens; give longer texts or more of them{remedy}"
    )


def facts_of(opened: Opened, given: Text) -> dict[str, Any]:
    """Return the facts about model and text that a page states."""
    return {
        "checkpoint": name_of(opened.folder),
        "kind": opened.kind,
        "trained_here": opened.trained_here,
        "parameters": opened.parameters,
        "files": opened.files,
        "start": bool(opened.start),
        "windows": len(given.windows),
        "documents": given.documents,
        "documents_used": len(set(given.sources.tolist())),
        "tokens": given.tokens,
        "turned": len(opened.model.turned_layers),
        "no_components": opened.model.no_components if isinstance(opened.model, CausalLM) else "",
    }


def draw_pictures(tables: ArmTables, names: Iterable[str]) -> None:
    """Draw the named figures that have something to show."""
    for name in names:
        drawing = draw_one(tables, name)
        if len(drawing.data):
            write_figure(drawing, tables.figures / name)


@contextmanager
def resumed_folder(output: Path, key: str) -> Iterator[Path]:
    """Yield a folder beside ``output`` and rename it to that when the block ends without an error.

    If the block is stopped, the folder stays, and the next call with the same key goes on in it. What lies in its
    ``kept/`` is deleted at the end.

    Args:
        output: the new folder.
        key: digest of all that the content depends on; a folder of another key is emptied first.

    Raises:
        UserError: another process writes the same folder, or it cannot be made.
    """
    folder = output.with_name(f".{output.name}.unfinished")
    make_folder(folder, output)
    with exclusive_lock(folder / "lock", wait=False):
        noted = folder / "kept" / "key"
        if not noted.is_file() or noted.read_text() != key:
            for path in folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            write_text(noted, key)
        elif done := len(list(noted.parent.glob("*.npz"))):
            print(f"{output}: goes on after {done} finished passes", flush=True)
        try:
            yield folder
        except UserError:
            shutil.rmtree(folder)
            raise
        (folder / "lock").unlink()
        folder.rename(output)
        # Last: a call that is killed before this loses nothing.
        shutil.rmtree(output / "kept")
