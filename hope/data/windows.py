"""Windows of tokens: random ones for training, fixed ones for evaluation, and a check that there are enough."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.seeding import generator
from hope.tasks import Vocabulary, try_own

RAISE = "raise corpus.validation.long_documents or long_characters"


def training_windows(
    corpus: TokenCorpus, seed: int, step: int, count: int, length: int, windows: config.Windows
) -> NDArray[np.int64]:
    """Return the windows of one training step, a pure function of the arguments.

    ``kept``: every window that lies within a document is equally likely; documents shorter than a window are never
    used. ``crossed``: every window of the stream of joined documents is equally likely.

    Args:
        corpus: the training side.
        seed: of the model.
        step: of the training.
        count: windows of the global batch; a process takes its slice.
        length: tokens that the model reads; one more is its last target.
        windows: how tokens become windows. A start token takes the first of the length + 1 positions.

    Returns:
        Token ids [count, length + 1].

    Raises:
        UserError: no document (``kept``), or not even the whole corpus (``crossed``), is as long.
    """
    body = _body(length, windows)
    crossed = windows.boundaries == "crossed"
    possible = corpus.tokens - body + 1 if crossed else corpus.window_count(body)
    if possible < 1:
        longest = f"{corpus.tokens:,} in all" if crossed else f"{corpus.lengths.max():,} in its longest document"
        raise UserError(
            f"training.length: a window needs {body:,} tokens, but {corpus.folder} has {longest}; "
            f"lower it, or add longer {'text' if crossed else 'documents'}"
        )
    numbers = generator("training windows", seed, step).integers(possible, size=count)
    starts = numbers if crossed else corpus.window_starts(numbers, body)
    return np.stack([_window(corpus, start, body, windows) for start in starts])


def evaluation_windows(
    corpus: TokenCorpus, documents: int, per_document: int, length: int, windows: config.Windows, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return windows of held-out documents, the same for every model.

    Documents are taken in an order that depends on the seed; too short ones are skipped. The possible starts in a
    document are cut into ``per_document`` equal parts, and one start is drawn from each: so content is independent of
    position, and windows overlap as little as the document allows. A window never leaves its document, even with
    ``crossed`` boundaries, since the document is the unit of the statistics.

    Args:
        corpus: the validation side.
        documents: number of documents.
        per_document: windows per document.
        length: tokens that the model reads; one more is its last target.
        windows: how tokens become windows.
        seed: of the choice.

    Returns:
        Token ids [documents * per_document, length + 1], and the document of each row [documents * per_document].

    Raises:
        UserError: too few documents are as long.
    """
    body = _body(length, windows)
    lengths = corpus.lengths
    order = generator("evaluation documents", seed).permutation(corpus.documents)
    chosen = order[lengths[order] >= body][:documents]
    if len(chosen) < documents:
        raise UserError(_too_few(corpus, documents, body, f"a window of {length:,}") + f"; {RAISE}")
    rows = []
    for document in chosen:
        within_part = generator("evaluation windows", seed, int(document)).random(per_document)
        shares = (np.arange(per_document) + within_part) / per_document
        starts = corpus.offsets[document] + np.floor(shares * (lengths[document] - body + 1)).astype(np.int64)
        rows += [_window(corpus, start, body, windows) for start in starts]
    return np.stack(rows), np.repeat(chosen, per_document)


def analysis_length(settings: config.Analysis, length: int) -> int:
    """Return the tokens that a model reads in the attention analysis: up to the last query position."""
    return round(settings.multiples[-1] * length)


def extrapolation_length(settings: config.Extrapolation, length: int) -> int:
    """Return the tokens that a model reads in the extrapolation evaluation: the longest context of the last target."""
    return settings.longest * length


def check_lengths(settings: config.LengthStage, data: Path) -> dict[str, Any]:
    """Check before any training that the documents are long enough for training, analysis and extrapolation.

    The user's own tasks, if some are scored, draw examples from the held-out text.

    Args:
        settings: the training length and the settings of the evaluations.
        data: folder with ``train`` and ``validation``.

    Returns:
        Per stage the window length and documents: ``training`` (documents as long, share of the tokens that windows
        can reach), ``analysis`` and ``extrapolation`` (documents needed, documents found).

    Raises:
        UserError: too few documents are long enough, and the line names the keys to lower or raise; or a task of the
            user's own is wrong.
    """
    train, validation = TokenCorpus.open(data / "train"), TokenCorpus.open(data / "validation")
    training_windows(train, 0, 0, 1, settings.length, settings.windows)
    body = _body(settings.length, settings.windows)
    reached = np.ones(train.documents, dtype=bool)
    if settings.windows.boundaries == "kept":
        reached = train.lengths >= body
    result: dict[str, Any] = {
        "training": {
            "window": body,
            "documents": int(reached.sum()),
            "share_of_tokens": float(train.lengths[reached].sum() / train.tokens),
        }
    }
    analysis, extrapolation = settings.analysis, settings.extrapolation
    needs = {
        "analysis.multiples": (analysis.documents, analysis_length(analysis, settings.length)),
        "extrapolation.longest": (extrapolation.documents, extrapolation_length(extrapolation, settings.length)),
    }
    for key, (documents, length) in needs.items():
        stage, body = key.partition(".")[0], _body(length, settings.windows)
        long_enough = int((validation.lengths >= body).sum())
        if long_enough < documents:
            per_token = validation.manifest["characters"] / validation.tokens
            raise UserError(
                _too_few(validation, documents, body, f"{stage}.documents")
                + f"; lower {stage}.documents or {key}, or {RAISE} (about {math.ceil(body * per_token):,} characters)"
            )
        result[stage] = {"window": body, "documents": documents, "found": long_enough}
    if scored := settings.retrieval:
        vocabulary = Vocabulary(validation.vocabulary, validation.special)
        for name, definition in scored.tasks.items():
            try_own(name, definition, vocabulary, validation, scored.lengths(settings.length))
    return result


def _too_few(corpus: TokenCorpus, documents: int, body: int, source: str) -> str:
    """Return the error that ``source`` asks for more documents than there are."""
    long_enough = int((corpus.lengths >= body).sum())
    return (
        f"{source}: asks for {documents:,} documents of at least {body:,} tokens, but {corpus.folder} has "
        f"{long_enough:,} of {corpus.documents:,} (the longest has {corpus.lengths.max():,})"
    )


def _body(length: int, windows: config.Windows) -> int:
    """Return the tokens of text in a window of ``length`` inputs and a last target."""
    return length + 1 - windows.start_token


def _window(corpus: TokenCorpus, start: int, body: int, windows: config.Windows) -> NDArray[np.int64]:
    """Return the window that starts at ``start`` in the stream [length + 1]."""
    tokens = corpus.read(int(start), body)
    return np.concatenate([[corpus.special["start"]], tokens]) if windows.start_token else tokens
