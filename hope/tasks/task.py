"""What a retrieval task is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hope.errors import UserError
from hope.seeding import generator


@dataclass(frozen=True)
class Vocabulary:
    """The token ids that tasks draw from.

    Attributes:
        size: number of token ids.
        special: ids of the special tokens, by name; the tasks use ``separator`` and ``query``.
    """

    size: int
    special: dict[str, int]

    def alphabets(self, purpose: str, *sizes: int) -> list[np.ndarray]:
        """Return disjoint sets of ordinary token ids, int64, the same at every call.

        Raises:
            UserError: the vocabulary has too few ordinary tokens.
        """
        ordinary = np.setdiff1d(np.arange(self.size), list(self.special.values()))
        if sum(sizes) > len(ordinary):
            raise UserError(
                f"tasks.{purpose}: asks for {sum(sizes)} distinct tokens, but the vocabulary has {len(ordinary)}; "
                "lower the task's sizes, or raise tokens.vocabulary"
            )
        chosen = generator("alphabet", purpose).permutation(ordinary)
        return np.split(chosen, np.cumsum(sizes))[: len(sizes)]


@dataclass(frozen=True)
class Example:
    """One example of a task.

    Attributes:
        tokens: token ids, int64 ``[length]``.
        answer: bool ``[length]``; True for tokens that must be predicted from those before them.
        candidates: token ids that answers of the task are drawn from, int64: a guess is made among them.
    """

    tokens: np.ndarray
    answer: np.ndarray
    candidates: np.ndarray


class Task(Protocol):
    """A retrieval task."""

    name: str

    def example(self, random: np.random.Generator, length: int) -> Example:
        """Return an example of exactly ``length`` tokens.

        Raises:
            UserError: the task does not fit into so few tokens.
        """
        ...

    def chance(self, length: int) -> float:
        """Return the expected token accuracy of a guess among the candidates of such an example."""
        ...
