"""The base of the built-in tasks: each is one class in one file, its settings and its generator together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

from pydantic import AfterValidator

from hope.errors import UserError
from hope.section import GrownSection, Share
from hope.tasks.task import Example, Source, Task, Vocabulary

if TYPE_CHECKING:
    import numpy as np

    Random: TypeAlias = np.random.Generator
else:
    Random = Any  # a task's file names its type without importing numpy

EVENLY = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
FILLER = 32
"""Default number of distinct filler tokens around bindings and examples."""


def _differ(depths: list[float]) -> list[float]:
    for depth in depths:
        if depths.count(depth) > 1:
            raise ValueError(f"{depth:g} is listed twice")
    return depths


Depths = Annotated[list[Share], AfterValidator(_differ)]
"""Places of the answer in the context; each is a cell of the results."""


class BuiltIn(GrownSection):
    """A built-in task: the fields are its settings, with defaults and descriptions; :meth:`example` draws examples.

    Each subclass stands in a file with the task's name, where the config and the registry find it.

    Attributes:
        sizes: sizes of the disjoint sets of tokens that all examples draw from: numbers, or names of settings.
        reads_text: whether examples contain real text.
    """

    sizes: ClassVar[tuple[str | int, ...]] = ()
    reads_text: ClassVar[bool] = False

    @property
    def set_sizes(self) -> list[int]:
        """The sizes of the sets as numbers."""
        return [getattr(self, size) if isinstance(size, str) else size for size in self.sizes]

    @property
    def symbols(self) -> int:
        """The number of ordinary tokens that the task needs in a vocabulary."""
        return sum(self.set_sizes)

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        raise NotImplementedError

    def example(self, random: Random, length: int, depth: float | None, bound: BoundTask) -> Example:
        """Return an example of ``length`` tokens, at least :attr:`shortest`; see :meth:`hope.tasks.Task.example`.

        Args:
            random: the only source of randomness.
            length: tokens of the example.
            depth: place of the answer in the context; None for a random one.
            bound: the task with its tokens and text: ``sets``, ``separator``, ``query``, ``source``.
        """
        raise NotImplementedError


class BoundTask(Task):
    """A built-in task with its settings, bound to a vocabulary and a text.

    Attributes:
        sets: disjoint sets of token ids, int64, with the task's ``sizes``.
        separator: id of the separator.
        query: id of the token before a question.
    """

    def __init__(self, name: str, settings: BuiltIn, vocabulary: Vocabulary, source: Source) -> None:
        """Choose the sets of tokens that examples draw from.

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
    """Raise a ValueError that names the setting if an alphabet has no ``count`` pairs of distinct tokens."""
    if 2 * count > alphabet:
        raise ValueError(f"{setting} {count} needs {2 * count} distinct tokens, but alphabet is {alphabet}")


def place(random: Random, depth: float | None, room: int) -> int:
    """Return the start, from 0 to ``room``, for a depth from 0 to 1; None draws it."""
    return int(random.integers(room + 1)) if depth is None else round(depth * room)


def scatter(random: Random, count: int, size: int, room: int) -> np.ndarray:
    """Return starts of ``count`` disjoint blocks of ``size`` tokens within ``room``, int64, rising.

    All arrangements are equally likely: the starts are drawn with every block shrunk to one cell, then each is moved
    to make room for the blocks before it.
    """
    import numpy as np

    cells = np.sort(random.choice(room - count * (size - 1), count, replace=False))
    return cells + np.arange(count) * (size - 1)


def interleaved(*columns: np.ndarray) -> np.ndarray:
    """Return the first entries of all arrays ``[n]``, then the second entries, and so on."""
    import numpy as np

    return np.stack(columns, axis=1).reshape(-1)


def repeated(lead: np.ndarray, string: np.ndarray, separator: int, candidates: np.ndarray) -> Example:
    """Return ``lead``, a string, a separator and the string again, of which all but the first token are answers."""
    import numpy as np

    tokens = np.concatenate((lead, string, [separator], string)).astype(np.int64)
    return Example(tokens, np.arange(len(tokens)) > len(tokens) - len(string), candidates)
