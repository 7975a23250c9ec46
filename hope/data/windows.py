"""Windows of tokens: random ones to train on, fixed ones to evaluate on, and whether there are enough."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hope import config
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.seeding import generator

RAISE = "raise corpus.validation.long_documents or long_characters"


def training_windows(
    corpus: TokenCorpus, seed: int, step: int, count: int, length: int, windows: config.Windows
) -> NDArray[np.int64]:
    """Return the windows of one training step, a pure function of the arguments.

    ``kept``: every place within a document where a window fits is as likely as any other; documents
    shorter than a window are never seen. ``crossed``: every place in the stream of joined documents is.

    Args:
        corpus: the training side.
        seed: of the model.
        step: of the training.
        count: windows of the global batch; a process takes its slice.
        length: tokens that the model reads; one more is its last target.
        windows: how tokens become windows. A start token takes the first of the length + 1 places.

    Returns:
        Token ids [count, length + 1].

    Raises:
        UserError: no document (``kept``), or not the whole corpus (``crossed``), is as long.
    """
    body = _body(length, windows)
    crossed = windows.boundaries == "crossed"
    possible = corpus.tokens - body + 1 if crossed else int(corpus.start_counts(body)[-1])
    if possible < 1:
        there = f"{corpus.tokens:,} in all" if crossed else f"{corpus.lengths.max():,} in its longest document"
        raise UserError(
            f"training.length: a window needs {body:,} tokens, but {corpus.folder} has {there}; "
            f"lower it, or bring longer {'text' if crossed else 'documents'}"
        )
    places = generator("training windows", seed, step).integers(possible, size=count)
    starts = places if crossed else _starts(corpus, places, body)
    return np.stack([_window(corpus, start, body, windows) for start in starts])


def evaluation_windows(
    corpus: TokenCorpus, documents: int, per_document: int, length: int, windows: config.Windows, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return windows of held-out documents, the same for every model.

    Documents are taken in an order that depends on the seed, those too short passed over. The places where
    a window can start in a document are cut into ``per_document`` equal parts, and each gives one start at
    random; so content is not tied to position, and windows overlap as little as the document
    allows. A window never leaves its document, with ``crossed`` boundaries too: the document is the unit of
    the statistics.

    Args:
        corpus: the validation side.
        documents: how many documents.
        per_document: windows of each.
        length: tokens that the model reads; one more is its last target.
        windows: how tokens become windows.
        seed: of the choice.

    Returns:
        Token ids [documents * per_document, length + 1], and the document of each row [the same].

    Raises:
        UserError: fewer documents are as long.
    """
    body = _body(length, windows)
    lengths = corpus.lengths
    order = generator("evaluation documents", seed).permutation(corpus.documents)
    chosen = order[lengths[order] >= body][:documents]
    if len(chosen) < documents:
        raise UserError(_too_few(corpus, documents, body, f"a window of {length:,}") + f"; {RAISE}")
    rows = []
    for document in chosen:
        inside = generator("evaluation windows", seed, int(document)).random(per_document)
        shares = (np.arange(per_document) + inside) / per_document
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
    """Check, before anything is trained, that the documents are long enough for all that follows.

    Args:
        settings: the training length, and what the evaluations ask.
        data: folder with ``train`` and ``validation``.

    Returns:
        What each stage asks and what was found: ``training`` (window, documents, share of the tokens that
        windows can reach), ``analysis`` and ``extrapolation`` (window, documents asked, documents found).

    Raises:
        UserError: one line that names the key to lower and those to raise.
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
    asked = {
        "analysis": (
            settings.analysis.documents,
            analysis_length(settings.analysis, settings.length),
            "analysis.multiples",
        ),
        "extrapolation": (
            settings.extrapolation.documents,
            extrapolation_length(settings.extrapolation, settings.length),
            "extrapolation.longest",
        ),
    }
    for stage, (documents, length, key) in asked.items():
        body = _body(length, settings.windows)
        enough = int((validation.lengths >= body).sum())
        if enough < documents:
            per_token = validation.manifest["characters"] / validation.tokens
            raise UserError(
                _too_few(validation, documents, body, f"{stage}.documents")
                + f"; lower {stage}.documents or {key}, or {RAISE} (about {math.ceil(body * per_token):,} characters)"
            )
        result[stage] = {"window": body, "documents": documents, "found": enough}
    return result


def _too_few(corpus: TokenCorpus, documents: int, body: int, who: str) -> str:
    enough = int((corpus.lengths >= body).sum())
    return (
        f"{who}: asks for {documents:,} documents of at least {body:,} tokens, but {corpus.folder} has {enough:,} of "
        f"{corpus.documents:,} (the longest has {corpus.lengths.max():,})"
    )


def _body(length: int, windows: config.Windows) -> int:
    """Return how many tokens of text a window of ``length`` inputs and a last target holds."""
    return length + 1 - windows.start_token


def _starts(corpus: TokenCorpus, places: NDArray[np.int64], body: int) -> NDArray[np.int64]:
    """Turn numbers of windows that lie within documents into places in the stream [the same shape]."""
    counts = corpus.start_counts(body)
    documents = np.searchsorted(counts, places, side="right")
    before = np.where(documents > 0, counts[documents - 1], 0)
    return corpus.offsets[documents] + places - before


def _window(corpus: TokenCorpus, start: int, body: int, windows: config.Windows) -> NDArray[np.int64]:
    tokens = corpus.read(int(start), body)
    return np.concatenate([[corpus.special["start"]], tokens]) if windows.start_token else tokens
