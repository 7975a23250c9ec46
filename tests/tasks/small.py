"""Built-in tasks with settings, over a small vocabulary and a text from which each place can be read off."""

import functools

import numpy as np

from hope import config
from hope.seeding import generator
from hope.tasks import Example, Vocabulary, build_task
from hope.tasks.built_in import BoundTask

SPECIAL = {"start": 0, "end": 1, "separator": 2, "query": 3}
SEPARATOR, QUERY = SPECIAL["separator"], SPECIAL["query"]
VOCABULARY = Vocabulary(600, SPECIAL)


class Text:
    """A source whose token at place i is 4 + i % 596."""

    def span(self, random: np.random.Generator, count: int) -> np.ndarray:
        return 4 + (random.integers(596) + np.arange(count)) % 596


def is_stretch(tokens: np.ndarray) -> bool:
    """Return whether tokens are one stretch of the text."""
    return bool((np.diff(tokens) % 596 == 1).all())


@functools.cache
def task(name: str, **settings) -> BoundTask:
    """Return a built-in task with these settings."""
    definition = config.Tasks(definitions={"one": config.TaskDefinition(task=name, settings=settings)}).task("one")
    found = build_task(name, definition, VOCABULARY, Text())
    assert isinstance(found, BoundTask)
    return found


def draw(name: str, length: int, seed: int = 0, depth: float | None = None, **settings) -> Example:
    """Return an example of a built-in task with these settings."""
    return task(name, **settings).example(generator("test", name, seed), length, depth)
