"""From a task's name to the task."""

from collections.abc import Callable

from hope import config
from hope.tasks.copy import Copy
from hope.tasks.recall import Recall
from hope.tasks.task import Task, Vocabulary


def build_task(name: str, settings: config.Tasks, vocabulary: Vocabulary) -> Task:
    """Return the task ``name``, one of :data:`hope.config.TASKS`."""
    builders: dict[str, Callable[[], Task]] = {
        "copy": lambda: Copy(settings.copy_, vocabulary),
        "recall": lambda: Recall(settings.recall, vocabulary),
    }
    return builders[name]()
