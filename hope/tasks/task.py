"""The parts of a retrieval task: its vocabulary, its text, its examples, and the base class of tasks.

The config imports this package for the settings of its tasks, so numpy is imported only where examples are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from hope.errors import UserError
from hope.section import Section

if TYPE_CHECKING:
    import numpy as np


class TaskDefinition(Section):
    """A task with settings, under the user's own name."""

    task: str = Field(description="a built-in task, or my_module:MyClass for your own")
    settings: dict[str, Any] = Field(default={}, description="its settings, laid over those of `tasks`")


@dataclass(frozen=True)
class Vocabulary:
    """The token ids that tasks draw from.

    Attributes:
        size: number of token ids.
        special: ids of the special tokens, by name; the tasks use ``separator`` and ``query``.
    """

    size: int
    special: dict[str, int]

    @cached_property
    def ordinary(self) -> np.ndarray:
        """The ids of ordinary tokens, int64, rising."""
        import numpy as np

        return np.setdiff1d(np.arange(self.size), list(self.special.values()))

    def alphabets(self, purpose: str, *sizes: int) -> list[np.ndarray]:
        """Return disjoint sets of ordinary token ids, int64, the same at every call.

        All tasks take their sets from the start of one shuffled list: the first sets of two tasks overlap, so that
        both train the same embeddings.

        Args:
            purpose: the task, for errors.
            sizes: sizes of the sets.

        Raises:
            UserError: the vocabulary has too few ordinary tokens.
        """
        import numpy as np

        from hope.seeding import generator

        ordinary = self.ordinary
        if sum(sizes) > len(ordinary):
            raise UserError(
                f"tasks.{purpose}: needs {sum(sizes)} distinct tokens, but the vocabulary has {len(ordinary)}; "
                "lower the task's sizes, or raise tokens.vocabulary"
            )
        return np.split(generator("alphabet").permutation(ordinary), np.cumsum(sizes))[: len(sizes)]


class Source(Protocol):
    """Real text for prompts: training text in training, held-out text in evaluation."""

    def span(self, random: np.random.Generator, count: int) -> np.ndarray:
        """Return ``count`` neighbouring tokens from a random place, int64, within one document if one is long enough.

        Raises:
            UserError: the text has fewer tokens.
        """
        ...


@dataclass(frozen=True)
class Example:
    """One example of a task.

    Attributes:
        tokens: token ids, int64 ``[length]``.
        answer: bool ``[length]``; True for tokens that are scored: each is predicted from the tokens before it.
        candidates: token ids that the answers are drawn from, int64; a guess picks one of them.
        taught: bool ``[length]``; tokens that training learns from; the answers if None.
    """

    tokens: np.ndarray
    answer: np.ndarray
    candidates: np.ndarray
    taught: np.ndarray | None = None

    @property
    def chance(self) -> float:
        """Expected token accuracy of a guess among the candidates, all equally likely."""
        return 1 / len(set(self.candidates.tolist()))

    @property
    def lessons(self) -> np.ndarray:
        """Tokens that training learns from, bool ``[length]``."""
        return self.answer if self.taught is None else self.taught


class Task:
    """A retrieval task; a subclass takes its settings as further keyword arguments.

    Attributes:
        depths: places of the answer in the context at which evaluation scores the task, from 0, the beginning of
            the prompt, to 1, right before the question. Empty for a task without depths.
    """

    depths: tuple[float, ...] = ()

    def __init__(self, vocabulary: Vocabulary, source: Source) -> None:
        """Keep the vocabulary and the text."""
        self.vocabulary, self.source = vocabulary, source

    def example(self, random: np.random.Generator, length: int, depth: float | None = None) -> Example:
        """Return an example of exactly ``length`` tokens, a function of the arguments alone.

        Args:
            random: the only source of randomness.
            length: tokens of the example, including the answers.
            depth: one of :attr:`depths`; None, as in training, for a random one.

        Raises:
            UserError: ``length`` is too short for the task.
        """
        raise NotImplementedError
