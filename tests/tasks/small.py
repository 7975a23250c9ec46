"""A task with settings, over a small vocabulary without text."""

from hope import config
from hope.tasks import Vocabulary, build_task
from hope.tasks.built_in import BoundTask

SEPARATOR, QUERY = 2, 3
VOCABULARY = Vocabulary(100, {"start": 0, "end": 1, "separator": SEPARATOR, "query": QUERY})


def task(name: str, **settings) -> BoundTask:
    """Return a built-in task with these settings."""
    definition = config.Tasks(definitions={"one": config.TaskDefinition(task=name, settings=settings)}).task("one")
    found = build_task(name, definition, VOCABULARY, None)  # type: ignore[arg-type]
    assert isinstance(found, BoundTask)
    return found
