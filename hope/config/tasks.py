"""The config's section on retrieval tasks: their settings, and tasks under the user's own names."""

from typing import Any

from pydantic import BaseModel, Field, ValidationError, create_model, model_validator

from hope.catalogue import is_custom
from hope.config.messages import describe
from hope.errors import nearest
from hope.section import Section
from hope.tasks import BUILT_IN, TaskDefinition
from hope.tasks.built_in import BuiltIn

USUAL_ALPHABET = 64
"""Symbols of a user's own task without a setting ``alphabet``."""

TASKS = tuple(BUILT_IN)
"""The names of the built-in tasks."""

# A field must not hide a method of the model: `copy` is one.
_fields: dict[str, Any] = {
    f"{name}_" if hasattr(BaseModel, name) else name: (kind, Field(default=kind(), alias=name))
    for name, kind in BUILT_IN.items()
}
_Settings: Any = create_model("_Settings", __base__=Section, **_fields)


class Tasks(_Settings):
    """Settings of the retrieval tasks, the same in training and in evaluation (ours).

    docs/tasks.md shows an example of each. A depth is the place of the answer in the context, from 0, the beginning of
    the prompt, to 1, right before the question.
    """

    definitions: dict[str, TaskDefinition] = Field(
        default={},
        description="your own tasks, and built-in ones with other settings, under your own names",
        examples=[{"few_shot_4": {"task": "few_shot", "settings": {"examples": 4}}}],
    )

    @model_validator(mode="after")
    def _definitions_are_sound(self) -> "Tasks":
        for name in self.definitions:
            if name in TASKS:
                raise ValueError(f"definitions: '{name}' is a known task; set tasks.{name}, or choose another name")
            if not name.isidentifier():
                raise ValueError(f"definitions: '{name}' must be letters, digits and '_'")
            self.task(name)
        return self

    @property
    def names(self) -> list[str]:
        """The names of all tasks."""
        return [*TASKS, *self.definitions]

    def task(self, name: str) -> TaskDefinition:
        """Return the task ``name`` with every setting filled in.

        A definition of a built-in task changes settings of this section. Settings of a user's own class pass
        unchanged: the class checks them when the task is built.

        Raises:
            ValueError: the name, the task or one of its settings is unknown.
        """
        if name not in self.names:
            raise ValueError(f"'{name}' is no task{nearest(name, self.names)}; known are {', '.join(self.names)}")
        definition = self.definitions.get(name) or TaskDefinition(task=name)
        if is_custom(definition.task):
            return definition
        if definition.task not in TASKS:
            raise ValueError(
                f"definitions.{name}.task: '{definition.task}' is no task{nearest(definition.task, TASKS)}; "
                f"known are {', '.join(TASKS)}, or 'module:Class' for your own"
            )
        below = self.model_dump(by_alias=True)[definition.task]
        kind = BUILT_IN[definition.task]
        try:
            settings = kind.model_validate(below | definition.settings).model_dump()
        except ValidationError as error:
            raise ValueError(describe(error, kind, f"definitions.{name}.settings")) from None
        return TaskDefinition(task=definition.task, settings=settings)

    def shortest(self, name: str) -> int:
        """Return the tokens of the shortest prompt of a task; 1 for a user's own, which raises an error itself.

        Raises:
            ValueError: there is no such task.
        """
        built_in = self._built_in(name)
        return built_in.shortest if built_in else 1

    def reads_text(self, name: str) -> bool:
        """Return whether a task makes its prompts from text; False for a user's own."""
        built_in = self._built_in(name)
        return built_in is not None and built_in.reads_text

    def symbols(self, name: str) -> int:
        """Return the number of ordinary tokens that a task needs; for a user's own its setting ``alphabet``, if any."""
        built_in = self._built_in(name)
        if built_in:
            return built_in.symbols
        alphabet = self.task(name).settings.get("alphabet", USUAL_ALPHABET)
        return alphabet if isinstance(alphabet, int) else USUAL_ALPHABET

    def _built_in(self, name: str) -> BuiltIn | None:
        """Return a built-in task with its settings; None for a user's own."""
        definition = self.task(name)
        return None if is_custom(definition.task) else BUILT_IN[definition.task].model_validate(definition.settings)
