"""Analysis of any model on the user's own text: tables, figures and a page, in a folder laid out like a study's."""

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope import config
from hope.analysis.attention import AnalyzedModel, analyze_windows
from hope.analysis.text_windows import FEWEST, text_windows
from hope.analysis.ushape import FEWEST_KEYS
from hope.catalogue import FAMILIES
from hope.config.data import Files
from hope.data.sources import collect
from hope.errors import UserError
from hope.files import write_json, write_text
from hope.interchange.opening import Opened, open_checkpoint
from hope.paths import StudyPaths
from hope.reporting.figures.draw import draw_one, write_figure
from hope.reporting.page.checkpoint import PICTURES, checkpoint_page
from hope.reporting.study_tables import StudyTables

LONGEST = 512
"""Default length in tokens: for more, a CPU takes hours with a large model."""
DOCUMENTS = 8
"""Default number of windows."""


@dataclass(frozen=True)
class Text:
    """The windows that a model reads.

    Attributes:
        windows: token ids ``[windows, tokens + 1]``.
        sources: the document of each.
        documents: number of documents given.
        tokens: number of their tokens.
        past: whether the windows reach past the analysed length, to twice as many tokens.
    """

    windows: NDArray[np.int64]
    sources: NDArray[np.int64]
    documents: int
    tokens: int
    past: bool


def analyze_checkpoint(
    checkpoint: Path,
    text: list[str],
    output: Path,
    length: int | None = None,
    documents: int = DOCUMENTS,
    field: str = "text",
) -> str:
    """Analyse a model's attention on the user's texts; write tables, figures and a page.

    Args:
        checkpoint: folder of a model of a study, or of a stock checkpoint of the Llama kind.
        text: files, folders or globs: .txt, .md, .jsonl and .parquet.
        output: the new folder.
        length: tokens of a window, at most the training length; None for that or :data:`LONGEST`, the smaller.
        documents: number of windows.
        field: the field or column of the text in .jsonl and .parquet.

    Returns:
        One line with the path of the page.

    Raises:
        UserError: the checkpoint or a text cannot be read, there is too little text, ``length`` does not fit,
            or ``output`` exists.
    """
    if os.path.lexists(output):
        raise UserError(f"{output}: is there already, and is not overwritten; name another folder with --output")
    texts = _texts(text, field)
    opened = open_checkpoint(checkpoint)
    trained = opened.model.training_length
    limits = opened.model.encoding.longest, opened.model.encoding.span
    limit = min((end for end in limits if end is not None), default=2 * trained)
    looked = _length(length, min(trained, limit))
    given = _windows(opened, texts, documents, looked, past=looked == trained and limit >= 2 * trained)
    # The analysis reads L from the model; here L is the analysed length.
    opened.model.training_length = looked
    asked = config.Analysis(documents=len(given.windows), multiples=[1.0, 2.0] if given.past else [1.0])
    study = _study(checkpoint, opened, asked, trained, looked)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        paths = StudyPaths(temporary)
        write_json(paths.config, study.model_dump(mode="json", by_alias=True))
        folder = paths.run(config.MAIN, opened.encoding.name, 0).analysis
        numbers = np.arange(len(given.windows))
        subject = AnalyzedModel(checkpoint, opened.model, opened.initial)
        analyze_windows(asked, subject, given.windows, bool(opened.start), numbers, folder)
        tables = StudyTables(temporary).arms[config.MAIN]
        for name in PICTURES:
            drawing = draw_one(tables, name)
            if len(drawing.data):
                write_figure(drawing, tables.figures / name)
        write_text(
            paths.report / "index.html",
            checkpoint_page(tables, _facts(checkpoint, opened, given, trained) | {"limit": limit}),
        )
        temporary.chmod(0o755)
        temporary.rename(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return f"report: {output / 'report' / 'index.html'}"


def name_of(checkpoint: Path) -> str:
    """Return the name of a checkpoint: that of its folder, or ``ENCODING-seedN`` for a folder named after a seed."""
    folder = checkpoint.resolve()
    return f"{folder.parent.name}-{folder.name}" if re.fullmatch(r"seed\d+", folder.name) else folder.name


def _texts(paths: list[str], field: str) -> list[str]:
    """Return the texts of the documents in the user's files."""
    asked = config.TextSource(source="files", files=Files(paths=paths, text_field=field))
    try:
        return [document.text for document in collect(asked)]
    except UserError as error:
        said = str(error).replace("corpus.files.paths", "--text").replace("set corpus.files.text_field", "give --field")
        raise UserError(said) from None


def _length(asked: int | None, longest: int) -> int:
    """Return the length to analyse, in tokens."""
    if asked is None:
        return min(longest, LONGEST)
    fewest = FEWEST_KEYS + config.Analysis().queries - 1
    if not fewest <= asked <= longest:
        raise UserError(f"--length: {asked} tokens; this model can be looked at over {fewest} to {longest}")
    return asked


def _windows(opened: Opened, texts: list[str], count: int, length: int, past: bool) -> Text:
    """Return the windows: of twice the length where ``past`` and the text has windows that long."""
    encoded = opened.encode(texts)
    for reach in (2 * length, length) if past else (length,):
        windows, sources = text_windows(encoded, count, reach, opened.start)
        if len(windows) >= FEWEST:
            return Text(windows, sources, len(texts), sum(map(len, encoded)), reach > length)
    longest = max(map(len, encoded))
    raise UserError(
        f"--text: {FEWEST} windows of {length + 1 - len(opened.start):,} tokens are needed, each within a document, "
        f"but the longest of {len(texts):,} has {longest:,} tokens; give longer texts or more of them, or lower "
        "--length"
    )


def _study(checkpoint: Path, opened: Opened, asked: config.Analysis, trained: int, looked: int) -> config.Study:
    """Return the config of a study of this one model, which the tables and figures need."""
    encoding, frequencies = opened.encoding, getattr(opened.model.encoding, "frequencies", None)
    family, settings = encoding.family, encoding.settings
    if looked != trained and frequencies is not None and family in FAMILIES and FAMILIES[family].rotary:
        # Some rotary families derive their frequencies from the training length, which is another one in this config.
        family, settings = "rotary", {"frequencies": frequencies.tolist()}
    name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name_of(checkpoint))
    content: dict[str, Any] = {
        "study": name.lstrip("._-") or "checkpoint",
        "encodings": [encoding.name],
        "definitions": {encoding.name: {"family": family, "settings": settings}},
        "seeds": {"count": 1},
        "model": opened.model.shape.model_dump(),
        "training": {"length": looked, "snapshots": 0},
        "mixture": {"share": 0.0, "tasks": {}, "multiples": [1.0]},
        "analysis": asked.model_dump(),
        "extrapolation": {"contexts": [1.0], "longest": 2, "targets": 1, "extensions": []},
        "retrieval": {"tasks": [], "multiples": [1.0]},
        "report": {"title": f"The attention of {name_of(checkpoint)}"},
    }
    return config.parse_study(content, str(checkpoint))


def _facts(checkpoint: Path, opened: Opened, given: Text, trained: int) -> dict[str, Any]:
    """Return the facts about model and text that the page states."""
    return {
        "checkpoint": name_of(checkpoint),
        "kind": opened.kind,
        "trained_here": opened.trained_here,
        "parameters": sum(parameter.numel() for parameter in opened.model.parameters()),
        "trained_length": trained,
        "files": opened.files,
        "start": bool(opened.start),
        "windows": len(given.windows),
        "documents": given.documents,
        "documents_used": len(set(given.sources.tolist())),
        "tokens": given.tokens,
        "past": given.past,
    }
