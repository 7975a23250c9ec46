"""Passages of a text, by which near copies are found: its lines, and runs of its letters in any script."""

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHORTEST_LINE = 16
"""Characters below which a line is trivial: two documents with ``return None`` or ``Thank you.`` are no copies."""

RUN = 12
"""Letters of a run in a script of letters, about two words and a half: few others of its language have it too."""

DENSE_RUN = 4
"""Letters of a run that begins with a Chinese character, a kana or a Hangul syllable, which stand for several."""

RUNS = 128
"""Runs that are kept of a document, at least, if it has as many: the error of a share is then a few percent."""

LONGEST_STEP = 32
"""A long document keeps one run in this many, so that an excerpt of it has some of them too."""

FINER = 16
"""How many times as many runs a finer sample keeps, for pairs of documents that the first one leaves undecided."""

BLOCK = 1 << 20
"""Characters that are worked on at once: bounds the memory for a long document."""

STARTS_ANEW = re.compile(r"[\x00-\x7f\u4e00-\u9fff\uac00-\ud7a3]")
"""Characters that no normal form joins with the one before them."""

MULTIPLIER = 0x5851F42D4C957F2D


class Runs(NamedTuple):
    """The sampled runs of a text.

    Attributes:
        hashes: sorted and distinct [runs].
        phrases: the same of runs that are four times as long, about ten words [phrases].
        rate: the share of all 64-bit hashes that were kept; nested, so that what the lower of two rates keeps is kept
            by both.
    """

    hashes: NDArray[np.uint64]
    phrases: NDArray[np.uint64]
    rate: float


def composed(text: str) -> Iterator[str]:
    """Yield ``text`` in Unicode's normal form C in pieces of about :data:`BLOCK` characters.

    So a letter and its accent are one character, whatever form a system or an editor has written.
    """
    start = 0
    while start < len(text):
        following = STARTS_ANEW.search(text, start + BLOCK)
        end = following.start() if following else len(text)
        yield unicodedata.normalize("NFC", text[start:end])
        start = end


def line_hashes(text: str) -> NDArray[np.uint64]:
    """Return the sorted 64-bit hashes of the distinct lines of ``text`` that have content.

    White space is folded, and letters are composed with their marks. A line of fewer than :data:`SHORTEST_LINE`
    characters, or without a letter or digit, is left out, and so is one of more than :data:`BLOCK`, which its runs
    describe better.
    """
    found, start = [np.empty(0, dtype="<u8")], 0
    while start < len(text):
        end = text.find("\n", start + BLOCK) + 1 or len(text)
        lines = (line for line in text[start:end].splitlines() if SHORTEST_LINE <= len(line) <= BLOCK)
        folded = {" ".join(unicodedata.normalize("NFC", line).split()) for line in lines}
        digests = [
            hashlib.blake2b(line.encode(), digest_size=8).digest()
            for line in folded
            if len(line) >= SHORTEST_LINE and any(map(str.isalnum, line))
        ]
        found.append(np.frombuffer(b"".join(digests), dtype="<u8"))
        start = end
    return _distinct(np.concatenate(found))


def sampled_runs(text: str, finer: int = 1) -> Runs:
    """Return a sample of the runs of :data:`RUN` consecutive letters of ``text``, or of :data:`DENSE_RUN`.

    Letters are letters, their marks, and digits of any script, without regard to case; all else between them is left
    out, so that other line ends, punctuation or white space change no run. The sample depends on the runs' content
    alone: two documents that share runs share them in their samples too (Broder 1997, "On the resemblance and
    containment of documents"; the same hash decides in both).

    Args:
        text: of a document.
        finer: how many times as many runs to keep.
    """
    letters = sum(map(len, _letters(text)))
    rate = min(1.0, finer * max(1 / LONGEST_STEP, RUNS / max(letters, 1)))
    limit = np.uint64(min(int(rate * 2**64), 2**64 - 1))
    kept = []
    for block, starts in _overlapping(_letters(text)):
        kept.append([hashes[hashes <= limit] for hashes in _run_hashes(block, starts)])
    hashes, phrases = (_distinct(np.concatenate(each)) for each in zip(*kept, strict=True))
    return Runs(hashes, phrases, rate)


def _distinct(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the sorted distinct hashes; for random numbers this is faster than ``np.unique``."""
    ordered = np.sort(hashes)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]]


def _letters(text: str) -> Iterator[NDArray[np.uint32]]:
    """Yield the letters and digits of a text as code points without case, block by block [letters]."""
    folded = _folded()
    for piece in composed(text):
        points = np.frombuffer(piece.encode("utf-32-le"), dtype="<u4")
        # Beyond the first plane, where the rare scripts are, everything counts.
        values = np.where(points < len(folded), folded[np.minimum(points, len(folded) - 1)], points)
        yield values[values > 0]


def _overlapping(blocks: Iterator[NDArray[np.uint32]]) -> Iterator[tuple[NDArray[np.uint32], int]]:
    """Yield the letters in blocks that reach a phrase further than the runs that start in them, and these starts."""
    held = np.empty(0, dtype=np.uint32)
    for block in blocks:
        held = np.concatenate([held, block])
        starts = max(len(held) - 4 * RUN + 1, 0)
        yield held, starts
        held = held[starts:]
    yield held, len(held)


@functools.cache
def _folded() -> NDArray[np.uint32]:
    """Return, for each code point of the first plane, itself without case, or 0 if it is no letter or digit."""
    values = np.zeros(1 << 16, dtype=np.uint32)
    for point in range(len(values)):
        character = chr(point)
        if character.isalnum() or unicodedata.category(character)[0] == "M":
            values[point] = ord(character.casefold()[0])
    return values


def _run_hashes(letters: NDArray[np.uint32], starts: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return a hash of each run, and of each phrase, that begins with one of the first ``starts`` letters."""
    with np.errstate(over="ignore"):
        one = letters * np.uint64(0x9E3779B97F4A7C15)
        one ^= one >> np.uint64(32)
        two = _joined(one, one, 1)
        four = _joined(two, two, 2)
        twelve = _joined(_joined(four, four, 4), four, 8)
        dense = _is_dense(letters[:starts])
        if dense.any():
            return _chosen(twelve, four, dense), _chosen(_phrases(twelve, RUN), _phrases(four, DENSE_RUN), dense)
        return _mixed(twelve[:starts]), _mixed(_phrases(twelve, RUN)[:starts])


def _phrases(runs: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Return the hashes of four runs of ``length`` letters in a row."""
    pairs = _joined(runs, runs, length)
    return _joined(pairs, pairs, 2 * length)


def _chosen(runs: NDArray[np.uint64], short: NDArray[np.uint64], dense: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return the short run where it begins with a dense letter, and the other one elsewhere."""
    runs, short = runs[: len(dense)], short[: len(dense)]
    return _mixed(np.concatenate([runs[~dense[: len(runs)]], short[dense[: len(short)]]]))


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes after the finaliser of MurmurHash3, which makes their order that of random numbers."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 1):
        hashes = (hashes ^ (hashes >> np.uint64(33))) * np.uint64(factor)
    return hashes


def _joined(first: NDArray[np.uint64], second: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Return the hashes of runs of ``first`` that are followed, after ``length`` letters, by runs of ``second``."""
    count = max(len(second) - length, 0)
    factor = np.uint64(pow(MULTIPLIER, length, 1 << 64))
    return first[:count] * factor + second[length : length + count]


def _is_dense(letters: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return whether each letter is a Chinese character, a kana, a Hangul syllable or a sign of Yi."""
    first = (letters >= 0x3040) & (letters < 0xA4D0)
    return first | ((letters >= 0xAC00) & (letters < 0xD7A4)) | (letters >= 0x20000)
