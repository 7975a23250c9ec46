"""Tasks in which a model must retrieve something from its context, one file each.

The config reads the settings of tasks from here, so importing this package loads no numerical library.
"""

from hope.tasks.own import NoText, draw, try_own
from hope.tasks.registry import BUILT_IN, build_task
from hope.tasks.task import Example, Source, Task, TaskDefinition, Vocabulary

__all__ = [
    "BUILT_IN",
    "Example",
    "NoText",
    "Source",
    "Task",
    "TaskDefinition",
    "Vocabulary",
    "build_task",
    "draw",
    "try_own",
]
