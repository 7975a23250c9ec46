"""Finds and builds tasks by name; the built-in ones are the files of this package."""

import importlib
import pkgutil
from pathlib import Path

from pydantic import ValidationError

from hope.catalogue import is_custom
from hope.errors import UserError
from hope.tasks.built_in import BoundTask, BuiltIn
from hope.tasks.own import build_own
from hope.tasks.task import Source, Task, TaskDefinition, Vocabulary


def _built_in() -> dict[str, type[BuiltIn]]:
    """Return the built-in tasks by the name of their file, in alphabetical order."""
    tasks = {}
    for _, name, _ in pkgutil.iter_modules([str(Path(__file__).parent)]):
        module = importlib.import_module(f"hope.tasks.{name}")
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, BuiltIn) and kind.__module__ == module.__name__:
                tasks[name] = kind
    del tasks["built_in"]
    return tasks


BUILT_IN = _built_in()


def build_task(name: str, definition: TaskDefinition, vocabulary: Vocabulary, source: Source) -> Task:
    """Return the task ``name`` of a study.

    Args:
        name: its name in the study, for errors.
        definition: the task and its settings.
        vocabulary: tokens to draw from.
        source: text to draw from.

    Raises:
        UserError: a setting is unknown or does not fit the vocabulary, or a user's ``module:Class`` cannot be
            imported, is no :class:`Task`, or does not take the settings.
    """
    if is_custom(definition.task):
        return build_own(name, definition, vocabulary, source)
    key = f"tasks.{name}" if name == definition.task else f"tasks.definitions.{name}"
    try:
        settings = BUILT_IN[definition.task].model_validate(definition.settings)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, (key, *first['loc'])))}: {first['msg']}") from None
    return BoundTask(definition.task, settings, vocabulary, source)
