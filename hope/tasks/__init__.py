"""Tasks that ask a model to bring something back from its context; one small file each."""

from hope.tasks.registry import build_task
from hope.tasks.task import Example, Source, Task, Vocabulary

__all__ = ["Example", "Source", "Task", "Vocabulary", "build_task"]
