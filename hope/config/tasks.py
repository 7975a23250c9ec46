"""The config's section on retrieval tasks: the settings of each, and tasks under names of the user's own."""

from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from hope.catalogue import is_custom
from hope.config.messages import describe
from hope.config.section import Section, Share
from hope.errors import nearest

Depths = Annotated[
    list[Share],
    Field(description="places of what is asked for, 0 at the beginning to 1 right before the question"),
]
EVENLY = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def _see_to(alphabet: int, **counts: int) -> None:
    """Raise a ValueError unless so many pairs of distinct tokens can be drawn."""
    for name, count in counts.items():
        if 2 * count > alphabet:
            raise ValueError(f"{name} {count} needs {2 * count} distinct tokens, but alphabet is {alphabet}")


class Copy(Section):
    """Repeat a string of random tokens."""

    alphabet: int = Field(64, ge=2, description="distinct tokens that the string is drawn from")

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 5


class CopyText(Section):
    """Repeat a span of real text."""

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 5


class FewShot(Section):
    """Follow a mapping that examples show."""

    inputs: int = Field(4, ge=1, description="distinct inputs of a prompt's mapping, each asked once")
    examples: int | None = Field(None, ge=1, description="examples shown; null: as many as fit")
    alphabet: int = Field(64, ge=2, description="distinct tokens that inputs and outputs are drawn from")
    depths: Depths = []

    @model_validator(mode="after")
    def _enough(self) -> "FewShot":
        _see_to(self.alphabet, inputs=self.inputs)
        if self.examples is not None and self.examples < self.inputs:
            raise ValueError(
                f"examples {self.examples} is below inputs {self.inputs}: each is shown before it is asked"
            )
        return self

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 4 if self.examples is None else 2 * (self.examples + self.inputs)


class Recall(Section):
    """Answer with the value that was bound to a key."""

    pairs: int = Field(4, ge=1, description="bindings in a prompt")
    alphabet: int = Field(64, ge=2, description="distinct tokens that keys and values are drawn from")

    @model_validator(mode="after")
    def _enough(self) -> "Recall":
        _see_to(self.alphabet, pairs=self.pairs)
        return self

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 5


class Mqar(Recall):
    """Multi-query associative recall: the keys come again, scattered behind the bindings."""

    power: float = Field(0.1, gt=0.0, description="gaps have probability ~ gap^(power - 1): below 1, short ones")

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 4


class Passkey(Section):
    """Find a key in real text."""

    digits: int = Field(4, ge=1, description="tokens of the key")
    alphabet: int = Field(10, ge=2, description="distinct tokens that the key is drawn from")
    depths: Depths = EVENLY

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 2 * (self.digits + 1) + 1


class Needle(Section):
    """Find one of several bindings in real text."""

    needles: int = Field(4, ge=1, description="bindings in the text, one of which is asked for")
    alphabet: int = Field(64, ge=2, description="distinct tokens that keys and values are drawn from")
    tokens: int = Field(2, ge=1, description="tokens of a value")
    depths: Depths = EVENLY

    @model_validator(mode="after")
    def _enough(self) -> "Needle":
        if self.needles * (self.tokens + 1) > self.alphabet:
            raise ValueError(f"needles {self.needles} of {self.tokens + 1} tokens are above alphabet {self.alphabet}")
        return self

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 2 * (self.tokens + 2) + 1


class Digression(Section):
    """Return to the first topic after a digression that ends in another one."""

    alphabet: int = Field(64, ge=4, description="distinct tokens that topics and values are drawn from")
    recent: int = Field(4, ge=0, description="tokens of text between the decoy and the question")

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 9 + self.recent


class Induction(Section):
    """Go on with a string that came before, of tokens that no other task uses on purpose."""

    alphabet: int = Field(64, ge=2, description="distinct tokens of a prompt, drawn anew from the whole vocabulary")

    @property
    def shortest(self) -> int:
        """Tokens of the shortest prompt."""
        return 4


class TaskDefinition(Section):
    """A task with settings, under a name of the user's."""

    task: str = Field(description="a known task, or module:Class of your own")
    settings: dict[str, Any] = Field(default={}, description="settings of the task")


SETTINGS: dict[str, type[Section]] = {
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
"""The settings of each task that is there."""

TASKS = tuple(SETTINGS)


class Tasks(Section):
    """Settings of the retrieval tasks, the same in training and in evaluation."""

    copy_: Copy = Field(default=Copy(), alias="copy")
    copy_text: CopyText = CopyText()
    few_shot: FewShot = FewShot()
    recall: Recall = Recall()
    mqar: Mqar = Mqar()
    passkey: Passkey = Passkey()
    needle: Needle = Needle()
    digression: Digression = Digression()
    induction: Induction = Induction()
    definitions: dict[str, TaskDefinition] = Field(
        default={}, description="tasks of your own, and known ones with other settings"
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

        A definition of a known task changes the settings that this section gives it. Settings of a user's
        own class pass unchanged: it checks them itself when it is built.

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
        kind = SETTINGS[definition.task]
        try:
            settings = kind.model_validate(below | definition.settings).model_dump()
        except ValidationError as error:
            raise ValueError(describe(error, kind, f"definitions.{name}.settings")) from None
        return TaskDefinition(task=definition.task, settings=settings)

    def shortest(self, name: str) -> int:
        """Return the tokens of the shortest prompt of a task; 1 for a user's own, which says so itself.

        Raises:
            ValueError: there is no such task.
        """
        definition = self.task(name)
        if is_custom(definition.task):
            return 1
        settings: Any = SETTINGS[definition.task].model_validate(definition.settings)
        return settings.shortest
