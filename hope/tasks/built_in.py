"""What each built-in task is: one class in one file of this room, its settings and its generator together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from pydantic import SerializerFunctionWrapHandler, model_serializer

from hope.errors import UserError
from hope.section import Section
from hope.tasks.task import Example, Source, Task, Vocabulary

if TYPE_CHECKING:
    import numpy as np

    Random: TypeAlias = np.random.Generator
else:
    Random = Any  # a task's file names its type without importing numpy

EVENLY = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
FILLER = 32
"""Distinct tokens of the filler around bindings and examples, where a task's setting does not say otherwise."""


class BuiltIn(Section):
    """A built-in task: the fields are its settings, with defaults and descriptions, and :meth:`example` draws.

    A subclass stands alone in the file that has the task's name; the config and the registry find it there.

    Attributes:
        sizes: of the disjoint sets of tokens that all examples draw from: numbers, or names of settings.
        reads_text: whether examples hold real text.
        later: settings that came after models had been trained without them: at their defaults they are not written, so
            that the record of such a model still fits.
    """

    sizes: ClassVar[tuple[str | int, ...]] = ()
    reads_text: ClassVar[bool] = False
    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {key: value for key, value in content.items() if key not in self.later or value != fields[key].default}

    @property
    def set_sizes(self) -> list[int]:
        """The sizes of the sets, as numbers."""
        return [getattr(self, size) if isinstance(size, str) else size for size in self.sizes]

    @property
    def symbols(self) -> int:
        """Ordinary tokens that a vocabulary must have for the task."""
        return sum(self.set_sizes)

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        raise NotImplementedError

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return an example of ``length`` tokens, at least :attr:`shortest`; see :meth:`hope.tasks.Task.example`.

        Args:
            random: where all that is drawn comes from.
            length: tokens of the example.
            depth: place of what is asked for; None for one drawn at random.
            bound: the task with what its examples are made of: ``sets``, ``separator``, ``query``, ``source``.
        """
        raise NotImplementedError


class BoundTask(Task):
    """A built-in task with its settings, bound to a vocabulary and a text.

    Attributes:
        sets: disjoint sets of token ids, int64, of the task's ``sizes``.
        separator: id of the separator.
        query: id of the token before a question.
    """

    def __init__(self, name: str, settings: BuiltIn, vocabulary: Vocabulary, source: Source) -> None:
        """Deal the sets of tokens that examples draw from.

        Raises:
            UserError: the vocabulary has too few tokens.
        """
        super().__init__(vocabulary, source)
        self.name, self.settings, self.depths = name, settings, tuple(getattr(settings, "depths", ()))
        self.sets = vocabulary.alphabets(name, *settings.set_sizes)
        self.separator, self.query = vocabulary.special["separator"], vocabulary.special["query"]

    def example(self, random: Random, length: int, depth: float | None = None) -> Example:
        """Return an example of the task."""
        shortest = self.settings.shortest
        if length < shortest:
            raise UserError(
                f"{self.name} needs prompts of {shortest} tokens or more, not {length}: raise the multiple of L"
            )
        return self.settings.example(random, length, depth, self)


def check_pairs(setting: str, count: int, alphabet: int) -> None:
    """Raise a ValueError that names the setting unless so many pairs of distinct tokens fit into an alphabet."""
    if 2 * count > alphabet:
        raise ValueError(f"{setting} {count} needs {2 * count} distinct tokens, but alphabet is {alphabet}")


def place(random: Random, depth: float | None, room: int) -> int:
    """Return where something starts that may stand ``room`` tokens or fewer behind the beginning."""
    return int(random.integers(room + 1)) if depth is None else round(depth * room)


def scatter(random: Random, count: int, size: int, room: int) -> np.ndarray:
    """Return starts of ``count`` disjoint blocks of ``size`` tokens within ``room``, int64, rising.

    Every arrangement has the same probability: the starts are drawn among the cells that are left when each
    block is one cell, then each is moved behind the blocks before it.
    """
    import numpy as np

    cells = np.sort(random.choice(room - count * (size - 1), count, replace=False))
    return cells + np.arange(count) * (size - 1)


def interleaved(*columns: np.ndarray) -> np.ndarray:
    """Return the first entry of each of the arrays ``[n]``, then the second of each, and so on."""
    import numpy as np

    return np.stack(columns, axis=1).reshape(-1)


def repeated(lead: np.ndarray, string: np.ndarray, separator: int, candidates: np.ndarray) -> Example:
    """Return ``lead``, a string, a separator and the string again; its first token is the question."""
    import numpy as np

    tokens = np.concatenate((lead, string, [separator], string)).astype(np.int64)
    return Example(tokens, np.arange(len(tokens)) > len(tokens) - len(string), candidates)
