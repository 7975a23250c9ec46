"""Choose the validation documents: whole groups of near copies, enough text, enough long documents."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from hope.config import Validation
from hope.errors import UserError
from hope.seeding import generator

LARGEST = 0.5
"""Largest share of the characters that may be held out to get enough long documents."""


def held_out(
    characters: NDArray[np.int64], groups: NDArray[np.int64], settings: Validation, seed: int
) -> NDArray[np.bool_]:
    """Choose the validation documents.

    Groups of near copies are taken whole, in an order that depends on ``seed`` alone: first groups with long
    documents, until ``long_documents`` of these are held out; then any, until ``share`` of the characters is held out.
    A group that exceeds the share by more than a tenth is taken only if no other suffices. To reach
    ``long_documents``, up to half of the characters may be held out.

    Args:
        characters: length of each document [documents].
        groups: group of each document [documents], numbered from 0.
        settings: how much to hold out.
        seed: sets the order in which groups are taken.

    Returns:
        True for each validation document [documents].

    Raises:
        UserError: the corpus has too few long documents, or no group would be left to train on.
    """
    choice = _Choice(characters, groups, settings)
    order = generator("corpus split", seed).permutation(len(choice.sizes))
    with_long = order[choice.long_documents[order] > 0]
    by_size = order[np.argsort(choice.sizes[order], kind="stable")]

    choice.take(with_long, choice.enough, choice.has_long)
    choice.take(with_long, choice.most, choice.has_long)
    if not choice.has_long():
        choice = _Choice(characters, groups, settings)
        choice.take(by_size[choice.long_documents[by_size] > 0], choice.most, choice.has_long)
    if not choice.has_long():
        raise UserError(
            f"corpus.validation.long_documents: asks for {settings.long_documents:,} held-out documents of at least "
            f"{settings.long_characters:,} characters; of {len(characters):,} documents "
            f"{choice.long_documents.sum():,} are as long, and {choice.held_long:,} of these can be held out (near "
            "copies together, at most half of the text); lower long_documents or long_characters, or add long documents"
            + _remedy(len(characters), len(choice.sizes))
        )
    choice.take(order, choice.enough, choice.has_share)
    choice.take(by_size, np.inf, choice.has_share)
    if not choice.has_share():
        raise UserError(
            f"corpus.validation.share: asks for {settings.share} of the text, but only "
            f"{choice.held / choice.sizes.sum():.3f} can be held out: of {len(characters):,} documents in "
            f"{len(choice.sizes):,} groups of near copies, one group must be left to train on; lower share, or add "
            f"documents{_remedy(len(characters), len(choice.sizes))}"
        )
    return choice.taken[groups]


def _remedy(documents: int, groups: int) -> str:
    """Return what else helps: for a file that holds everything, and for documents that share a template."""
    if documents == 1:
        return "; the whole corpus is one document: split it into several documents"
    if groups <= documents / 2:
        return "; many documents share most of their text: raise corpus.near_duplicate_share, or remove what they share"
    return ""


class _Choice:
    """The groups taken so far, with their characters and long documents."""

    def __init__(self, characters: NDArray[np.int64], groups: NDArray[np.int64], settings: Validation) -> None:
        count = int(groups.max()) + 1
        self.sizes = np.bincount(groups, weights=characters, minlength=count).astype(np.int64)
        self.long_documents = np.bincount(groups[characters >= settings.long_characters], minlength=count)
        self.taken = np.zeros(count, dtype=bool)
        self.held = 0
        self.held_long = 0
        self.target = settings.share * float(self.sizes.sum())
        self.enough = 1.1 * self.target
        self.most = max(self.enough, LARGEST * float(self.sizes.sum()))
        self._asked = settings.long_documents
        self._left = count

    def has_long(self) -> bool:
        """Return True if enough long documents are held out."""
        return self.held_long >= self._asked

    def has_share(self) -> bool:
        """Return True if enough characters are held out."""
        return self.held >= self.target

    def take(self, order: Iterable[int], most: float, is_enough: Callable[[], bool]) -> None:
        """Take groups in ``order``, up to ``most`` characters in all, until ``is_enough``; leave one for training."""
        for group in order:
            if is_enough():
                return
            if self.taken[group] or self._left == 1 or self.held + self.sizes[group] > most:
                continue
            self.taken[group] = True
            self._left -= 1
            self.held += int(self.sizes[group])
            self.held_long += int(self.long_documents[group])
