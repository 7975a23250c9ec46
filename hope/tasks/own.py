"""Tasks of the user's own: built and drawn from with a check of what a class may get wrong, one line per mistake."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hope.catalogue import is_custom
from hope.catalogue.custom import RAISED, load_class, own_error
from hope.errors import UserError
from hope.tasks.built_in import BoundTask
from hope.tasks.task import Example, Source, Task, TaskDefinition, Vocabulary

if TYPE_CHECKING:
    import numpy as np

TRIALS = 4
"""Examples of each length and depth that are drawn before anything is trained."""


def build_own(name: str, definition: TaskDefinition, vocabulary: Vocabulary, source: Source) -> Task:
    """Return the task ``name`` of a user's own class.

    Raises:
        UserError: the class cannot be imported, is no :class:`Task`, does not take the settings, or lacks a part.
    """
    key, implementation, settings = f"tasks.definitions.{name}", definition.task, definition.settings
    kind = load_class(implementation, Task, f"{key}.task", "hope.tasks.Task")
    try:
        inspect.signature(kind).bind(vocabulary, source, **settings)
    except TypeError as error:
        raise UserError(f"{key}.settings: {implementation}: {error}") from None
    try:
        task = kind(vocabulary, source, **settings)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{key}.settings: {error}") from error
    except RAISED as error:
        reason = own_error(error)
        raise UserError(f"{key}: {implementation} cannot be built ({reason}); mend the class, or settings") from error
    lacks = ""
    if not hasattr(task, "vocabulary"):
        lacks = "its constructor must call super().__init__(vocabulary, source)"
    elif kind.example is Task.example or not _takes(task.example):
        lacks = "it must define example(self, random, length, depth=None)"
    elif not isinstance(task.depths, (tuple, list)) or not all(_is_share(depth) for depth in task.depths):
        lacks = "its depths must be a tuple of numbers from 0 to 1"
    if lacks:
        raise UserError(f"{key}: {implementation}: {lacks}")
    return task


def draw(
    name: str,
    task: Task,
    random: np.random.Generator,
    length: int,
    depth: float | None = None,
    again: Task | None = None,
) -> Example:
    """Return an example as :meth:`Task.example` does; one of a user's own class is checked.

    Args:
        name: the task's name in the study, for errors.
        task: the task.
        random: the only source of randomness.
        length: tokens of the example.
        depth: place of the answer; None for a random one.
        again: a task that must draw the same from an equal generator: ``task`` itself, or one built like it.

    Raises:
        UserError: there is no example of this length, it is not what :class:`Example` describes, or ``again`` draws
            another one.
    """
    if isinstance(task, BoundTask):
        return task.example(random, length, depth)
    kind = type(task)
    key = f"tasks.definitions.{name}: {kind.__module__}:{kind.__qualname__}"
    before = copy.deepcopy(random) if again else random
    try:
        drawn = [task.example(random, length, depth)]
        drawn += [again.example(before, length, depth)] if again else []
    except TextLater:
        raise
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
    except RAISED as error:
        raise UserError(f"{key}: makes no example of {length} tokens ({own_error(error)})") from error
    for example in drawn:
        if wrong := _wrong(example, length, task.vocabulary.size):
            raise UserError(f"{key}: an example of {length} tokens: {wrong}")
    tokens, answer, candidates, taught = parts = _parts(drawn[0])
    if not all(map(_equal, parts, _parts(drawn[-1]))):
        raise UserError(
            f"{key}: an example of {length} tokens is another one when it is drawn again; take all randomness from "
            "the argument random, and keep nothing between calls"
        )
    # Copies, since a class may fill the same arrays for each example.
    taught = None if taught is None else taught.copy()
    return Example(tokens.astype("int64"), answer.copy(), candidates.astype("int64"), taught)


class TextLater(UserError):
    """A task reads text before there is any."""


class NoText:
    """Stands for the text of a corpus that is not prepared yet, or that an arm does not read."""

    def __init__(self, reads_text: bool) -> None:
        """Remember whether there will be text."""
        self.reads_text = reads_text

    def span(self, random: np.random.Generator, count: int) -> np.ndarray:
        """Raise the error that there is no text."""
        if self.reads_text:
            raise TextLater("the text is prepared later")
        raise UserError("reads text, but an arm that is trained on tasks alone has none; set trained_on: text")


def try_own(
    name: str,
    definition: TaskDefinition,
    vocabulary: Vocabulary,
    source: Source,
    lengths: Iterable[int],
    scored: bool = True,
) -> None:
    """Build a task of the user's own and draw examples of each length; of another task, do nothing.

    Args:
        name: its name in the study.
        definition: the task and its settings.
        vocabulary: tokens to draw from.
        source: text to draw from; a task that reads :class:`NoText` of a later corpus is only built.
        lengths: tokens per example.
        scored: whether examples are drawn at each of its depths, as in evaluation, or at random ones, as in training.

    Raises:
        UserError: as :func:`build_own` and :func:`draw`.
    """
    if not is_custom(definition.task):
        return
    from hope.seeding import generator

    # Built twice, as for two models: randomness may also come from the constructor, or from what a task keeps.
    task, other = (build_own(name, definition, vocabulary, source) for _ in range(2))
    depths = (scored and task.depths) or (None,)
    with suppress(TextLater):
        for length, depth, number in itertools.product(lengths, depths, range(TRIALS)):
            draw(name, task, generator("trial", name, length, number), length, depth, (other, task)[number % 2])


def _takes(example: Callable[..., Example]) -> bool:
    try:
        inspect.signature(example).bind(None, 1, None)
    except TypeError:
        return False
    return True


def _is_share(depth: object) -> bool:
    return isinstance(depth, (int, float)) and 0 <= depth <= 1


def _wrong(example: Any, length: int, vocabulary: int) -> str:
    """Return in what an example is not what :class:`Example` describes; empty if it is."""
    import numpy as np

    if not isinstance(example, Example):
        return f"expected a hope.tasks.Example, not {type(example).__name__}"
    for part, values in zip(("tokens", "answer", "candidates", "taught"), _parts(example), strict=True):
        ids = part in ("tokens", "candidates")
        if part == "taught" and values is None:
            continue
        if not isinstance(values, np.ndarray) or values.dtype.kind not in ("iu" if ids else "b") or values.ndim != 1:
            found = f"{values.dtype}{list(values.shape)}" if isinstance(values, np.ndarray) else type(values).__name__
            expected = "integers" if ids else "bool"
            return f"{part} must be a one-dimensional NumPy array of {expected}, not {found}"
        if part != "candidates" and len(values) != length:
            return f"{part} has {len(values)} entries; return exactly as many as asked for"
        if ids and not len(values):
            return f"{part} is empty"
        outside = (values < 0) | (values >= vocabulary) if ids else values[:0]
        if outside.any():
            return f"{part} holds {values[outside][0]}, but the vocabulary's ids are 0 to {vocabulary - 1}"
        if not ids and values[0]:
            return f"{part} marks the first token, which no token stands before"
        if not ids and not values.any():
            return f"{part} marks no token"
    if not np.isin(example.tokens[example.answer], example.candidates).all():
        return "candidates lacks an answer, so that its chance would be wrong"
    return ""


def _parts(example: Example) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    return example.tokens, example.answer, example.candidates, example.taught


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    import numpy as np

    return np.array_equal(one, other) if one is not None and other is not None else one is other
