"""Analysis of any model on the user's own text: tables, figures and a page, in a folder laid out like a study's."""

from pathlib import Path

import numpy as np

from hope import config
from hope.analysis.attention import AnalyzedModel, analyze_windows
from hope.analysis.text_windows import FEWEST
from hope.analysis.ushape import FEWEST_KEYS
from hope.errors import UserError
from hope.files import sha256_of_json, write_json, write_text
from hope.interchange.opening import open_checkpoint
from hope.model.kept import Kept
from hope.paths import StudyPaths
from hope.reporting.on_text import draw_pictures, facts_of, name_of, read_texts, resumed_folder, study_of, windows_of
from hope.reporting.page.checkpoint import PICTURES, checkpoint_page
from hope.reporting.study_tables import StudyTables
from hope.tracking.provenance import code_digest

LONGEST = 512
"""Default length in tokens: for more, a CPU takes hours with a large model."""
DOCUMENTS = 8
"""Default number of windows."""


def analyze_checkpoint(
    checkpoint: Path,
    text: list[str],
    output: Path,
    length: int | None = None,
    documents: int = DOCUMENTS,
    field: str = "text",
) -> str:
    """Analyse a model's attention on the user's texts; write tables, figures and a page.

    A call that is stopped keeps the result of every finished pass beside ``output``; the same call goes on from there.

    Args:
        checkpoint: folder of a model of a study, or of a stock checkpoint.
        text: files, folders or globs: .txt, .md, .jsonl and .parquet.
        output: the new folder.
        length: tokens of a window, at most the training length; None for that or :data:`LONGEST`, the smaller.
        documents: number of windows.
        field: the field or column of the text in .jsonl and .parquet.

    Returns:
        One line with the path of the page.

    Raises:
        UserError: the checkpoint or a text cannot be read, there is too little text, ``length`` does not fit,
            ``output`` exists, or another process writes it.
    """
    texts = read_texts(text, field, output)
    opened = open_checkpoint(checkpoint, length)
    trained = opened.model.training_length
    limits = opened.model.encoding.longest, opened.model.encoding.span
    limit = min((end for end in limits if end is not None), default=2 * trained)
    looked = _length(length, min(trained, limit), checkpoint)
    reaches = [2 * looked, looked] if looked == trained and limit >= 2 * trained else [looked]
    encoded = opened.encode(texts)
    given = windows_of(encoded, opened.start, documents, reaches, FEWEST, ", or lower --length")
    past = given.length > looked
    # The analysis reads L from the model; here L is the analysed length.
    opened.model.training_length = looked
    asked = config.Analysis(documents=len(given.windows), multiples=[1.0, 2.0] if past else [1.0])
    title = f"The attention of {name_of(checkpoint)}"
    study = study_of(checkpoint, opened, trained, looked, title, {"analysis": asked.model_dump()})
    remedy = "its weights are finite, so they are not those that config.json describes: get both from one place"
    if opened.trained_here:
        remedy = AnalyzedModel.remedy
    # What the kept passes depend on.
    key = [opened.files, given.digest, study.model_dump(mode="json", by_alias=True), code_digest("analyze")]
    with resumed_folder(output, sha256_of_json(key)) as temporary:
        paths = StudyPaths(temporary)
        write_json(paths.config, study.model_dump(mode="json", by_alias=True))
        folder = paths.run(config.MAIN, opened.encoding.name, 0).analysis
        numbers = np.arange(len(given.windows))
        subject = AnalyzedModel(checkpoint, opened.model, opened.initial, remedy)
        kept = Kept(temporary / "kept")
        analyze_windows(asked, subject, given.windows, bool(opened.start), numbers, folder, kept)
        tables = StudyTables(temporary).arms[config.MAIN]
        draw_pictures(tables, PICTURES)
        facts = facts_of(opened, given) | {"trained_length": trained, "past": past, "limit": limit}
        write_text(paths.report / "index.html", checkpoint_page(tables, facts))
    return f"report: {output / 'report' / 'index.html'}"


def _length(asked: int | None, longest: int, checkpoint: Path) -> int:
    """Return the length to analyse, in tokens.

    Raises:
        UserError: the model cannot be looked at over that length, or over none.
    """
    fewest = FEWEST_KEYS + config.Analysis().queries - 1
    if longest < fewest:
        raise UserError(
            f"{checkpoint}: this model can be looked at over {longest} tokens, and the analysis needs {fewest}; "
            "`python -m hope evaluate` measures its losses"
        )
    if asked is None:
        return min(longest, LONGEST)
    if not fewest <= asked <= longest:
        raise UserError(f"--length: {asked} tokens; this model can be looked at over {fewest} to {longest}")
    return asked
