"""Synthetic tasks that ask a model to bring something back from its context; one small file each."""

from hope.tasks.registry import build_task
from hope.tasks.task import Example, Task, Vocabulary

__all__ = ["Example", "Task", "Vocabulary", "build_task"]
