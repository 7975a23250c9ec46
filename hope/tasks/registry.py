"""From a task's name to the task."""

import inspect
from typing import Any

from pydantic import ValidationError

from hope import config
from hope.catalogue import is_custom
from hope.catalogue.custom import load_class
from hope.errors import UserError
from hope.tasks.copy import Copy
from hope.tasks.copy_text import CopyText
from hope.tasks.digression import Digression
from hope.tasks.few_shot import FewShot
from hope.tasks.induction import Induction
from hope.tasks.mqar import Mqar
from hope.tasks.needle import Needle
from hope.tasks.passkey import Passkey
from hope.tasks.recall import Recall
from hope.tasks.task import Source, Task, Vocabulary

KINDS: dict[str, type[Task]] = {
    "copy": Copy,
    "copy_text": CopyText,
    "few_shot": FewShot,
    "recall": Recall,
    "mqar": Mqar,
    "passkey": Passkey,
    "needle": Needle,
    "digression": Digression,
    "induction": Induction,
}


def build_task(name: str, definition: config.TaskDefinition, vocabulary: Vocabulary, source: Source) -> Task:
    """Return the task ``name`` of a study.

    Args:
        name: what the study calls it, for errors.
        definition: which task it is, and its settings.
        vocabulary: tokens to draw from.
        source: text to draw from.

    Raises:
        UserError: the task or one of its settings is unknown or does not fit the vocabulary, or a user's
            ``module:Class`` cannot be imported, is no :class:`Task`, or does not take the settings.
    """
    key = f"tasks.definitions.{name}" if is_custom(definition.task) or name != definition.task else f"tasks.{name}"
    settings: dict[str, Any] = definition.settings
    if is_custom(definition.task):
        kind = load_class(definition.task, Task, f"{key}.task", "hope.tasks.Task")
        key = f"{key}.settings"
        try:
            inspect.signature(kind).bind(vocabulary, source, **settings)
        except TypeError as error:
            raise UserError(f"{key}: {definition.task}: {error}") from None
        try:
            return kind(vocabulary, source, **settings)
        except ValueError as error:
            raise UserError(f"{key}: {error}") from error
    section = config.TASK_SETTINGS[definition.task]
    try:
        settings = section.model_validate(settings).model_dump()
    except ValidationError as error:
        raise UserError(config.describe(error, section, key)) from None
    return KINDS[definition.task](vocabulary, source, **settings)
