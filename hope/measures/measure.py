"""Measures, and endpoints: an endpoint is one measure at one set of qualifiers.

A measure is declared by the decorator :func:`measure` of the function that computes it, whose name it has. Its
qualifiers (a task, a number of training lengths, ...) define its endpoints; they are separate columns in every table,
never parts of a name. The files of this room import numpy and pandas within functions only, so that claims are
checked without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from hope.config import Arm

NATS = "nats per token"
Unit = Literal["document", "prompt", "model", "formula"]
Value = str | float
Compute = Callable[..., Any]
Settings = dict[str, Any]
"""Attributes of :class:`Measure` that several measures share."""


@dataclass(frozen=True)
class Endpoint:
    """The key of an endpoint, without the model: a measure and its qualifiers, None where the measure takes none.

    Attributes:
        measure: name of a measure.
        task: the retrieval task.
        multiple: a number of training lengths: of a position, a context or a prompt, by measure.
        depth: depth of the answer in the prompt, 0 to 1; None: all depths together.
        extension: label of the length extension; None: the model as trained.
        intervention: the intervention on frequency components.
        components: the components changed or measured.
    """

    measure: str
    task: str | None = None
    multiple: float | None = None
    depth: float | None = None
    extension: str | None = None
    intervention: str | None = None
    components: str | None = None

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Endpoint:
        """Return the key of a row of a table, where null may be NaN, or of a side of a claim."""
        return cls(**{key: row[key] for key in KEYS if row.get(key) is not None and row[key] == row[key]})

    @property
    def columns(self) -> dict[str, Any]:
        """The key as columns of a table."""
        return asdict(self)

    @property
    def words(self) -> str:
        """The endpoint as people read it: ``loss from L to 2L``, ``copy accuracy at 2L, depth 0.5``."""
        lengths = {} if self.multiple is None else {"multiple": length_name(self.multiple)}
        lengths |= {} if self.multiple is None else {"half": length_name(self.multiple / 2)}
        done = {"intervention": DONE.get(self.intervention or "", self.intervention)}
        text = known(self).label.format(**{**self.columns, **lengths, **done})
        depth = "" if self.depth is None else f", depth {self.depth:g}"
        return text + depth + ("" if self.extension is None else f", {self.extension}")

    @property
    def metric(self) -> str:
        """Its name among the metrics of a run: ``extrapolation/octave_loss_4L``."""
        texts = {name: value for name, value in self.columns.items() if value is not None}
        texts |= {} if self.multiple is None else {"multiple": f"{self.multiple:g}L"}
        texts |= {} if self.depth is None else {"depth": f"depth{self.depth:g}"}
        return f"{known(self).source.name}/{'_'.join(map(str, texts.values()))}"


KEYS = tuple(entry.name for entry in fields(Endpoint))
"""The columns of a key, in every table."""
QUALIFIERS = KEYS[1:]
DONE = {"freeze": "frozen", "mean": "at their mean", "remove": "removed"}
"""Interventions on components (:mod:`hope.analysis.intervention`), each with its participle."""


@dataclass(frozen=True)
class Source:
    """A table that measures are computed from.

    Attributes:
        room: ``evaluation``, ``analysis`` or ``theory``.
        name: of the table, without the file ending.
        summaries: the summary tables that show its measures.
        always: whether every model has the table.
    """

    room: str
    name: str
    summaries: tuple[str, ...] = ()
    always: bool = True


@dataclass(frozen=True)
class Listed:
    """The values of a qualifier that a study measures.

    Attributes:
        key: the config key that lists them.
        of: returns the values of an arm for an endpoint.
        parts: for a qualifier that is a column of the table: yields each value with its rows.
        optional: whether the qualifier may be left out.
    """

    key: str
    of: Callable[[Arm, Endpoint], Sequence[Value]]
    parts: Callable[[DataFrame], Iterator[tuple[Value | None, DataFrame]]] | None = None
    optional: bool = False


Takes = Mapping[str, Listed | tuple[str, ...]]
"""The values of each qualifier of a measure: listed by the study, or fixed."""


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: its name, that of the function.
        compute: the function. For models it takes the rows of one model's table, the training length L in tokens and
            the qualifiers that are not columns of the table, and returns values by unit; for formulas it takes the
            table, the arm and the name of an encoding, and returns a number or None.
        text: its definition, the first paragraph of the function's docstring.
        label: the measure with its qualifiers in a few words, a format string; ``half`` is half of ``multiple``.
        source: the table that it is computed from.
        scale: unit of its numbers.
        unit: what one observation belongs to, besides the model.
        better: the better direction for the model, if there is one.
        takes: its qualifiers.
        needs: a requirement on the config, in words, and the function that checks it.
        loss: whether it is a loss; its differences are also shown as changes of perplexity in percent.
        points: whether it is a share of right answers; its differences are also shown in points.
        compared: whether the exploratory comparisons include it, all depths together.
        extended: whether the comparisons include it with length extensions too.
    """

    name: str
    compute: Compute
    text: str
    label: str
    source: Source
    scale: str
    unit: Unit = "document"
    better: Literal["lower", "higher"] | None = None
    takes: Takes = field(default_factory=dict)
    needs: tuple[str, Callable[[Arm], bool]] | None = None
    loss: bool = False
    points: bool = False
    compared: bool = True
    extended: bool = False

    def of_model(self, table: DataFrame, arm: Arm) -> Iterator[tuple[Endpoint, Series]]:
        """Yield the endpoints of one model, each with its values by unit; those that it cannot have are left out."""
        for endpoint, rows in self._cells(table, arm, Endpoint(self.name), list(self.takes)):
            given = {name: getattr(endpoint, name) for name in self.takes if not self._is_column(name)}
            values = self.compute(rows, arm.training.length, **given)
            if len(values):
                yield endpoint, values

    def _cells(
        self, table: DataFrame, arm: Arm, endpoint: Endpoint, left: list[str]
    ) -> Iterator[tuple[Endpoint, DataFrame]]:
        """Yield each combination of the remaining qualifiers with its rows."""
        if not left:
            yield endpoint, table
            return
        choice = self.takes[left[0]]
        if isinstance(choice, Listed) and choice.parts is not None:
            parts = choice.parts(table)
        else:
            parts = ((value, table) for value in (choice.of(arm, endpoint) if isinstance(choice, Listed) else choice))
        for value, rows in parts:
            yield from self._cells(rows, arm, Endpoint(**{**endpoint.columns, left[0]: value}), left[1:])

    def _is_column(self, qualifier: str) -> bool:
        choice = self.takes[qualifier]
        return isinstance(choice, Listed) and choice.parts is not None

    def wrong(self, endpoint: Endpoint) -> str:
        """Return what is wrong with the qualifiers of an endpoint in any study; empty if nothing is."""
        for name in QUALIFIERS:
            value, choice = getattr(endpoint, name), self.takes.get(name)
            if choice is None and value is not None:
                taken = " and ".join(self.takes) or "no qualifier"
                return f"'{self.name}' takes no {name}, but {taken}"
            if value is None and choice is not None and not (isinstance(choice, Listed) and choice.optional):
                return f"'{self.name}' needs {name}"
            if value is not None and isinstance(choice, tuple) and value not in choice:
                return f"{name}: '{value}' is none of {', '.join(choice)}"
        return ""

    def lacking(self, endpoint: Endpoint, arm: Arm) -> str:
        """Return what the config lacks for an endpoint to be measured; empty if it is measured."""
        if self.needs is not None and not self.needs[1](arm):
            return f"{endpoint.words} needs {self.needs[0]}"
        for name, choice in self.takes.items():
            value = getattr(endpoint, name)
            if isinstance(choice, Listed) and value is not None and value not in choice.of(arm, endpoint):
                shown = f"{value:g}" if isinstance(value, float) else f"'{value}'"
                return f"{endpoint.words} needs {shown} in {choice.key.format(**endpoint.columns)}"
        return ""

    def is_compared(self, endpoint: Endpoint) -> bool:
        """Return whether the exploratory comparisons include an endpoint of this measure."""
        return self.compared and endpoint.depth is None and (self.extended or endpoint.extension is None)


MEASURES: dict[str, Measure] = {}
"""All measures by name, in the order of the tables."""


def measure(label: str, **settings: Any) -> Callable[[Compute], Compute]:
    """Declare the decorated function as a measure, defined by the first paragraph of its docstring.

    Args:
        label: as in :class:`Measure`.
        settings: the other attributes of :class:`Measure`.
    """

    def declare(function: Compute) -> Compute:
        text = " ".join((function.__doc__ or "").split("\n\n")[0].split()).rstrip(".")
        MEASURES[function.__name__] = Measure(function.__name__, function, text, label, **settings)
        return function

    return declare


def known(endpoint: Endpoint) -> Measure:
    """Return the measure of an endpoint."""
    return MEASURES[endpoint.measure]


def measured(tables: Mapping[str, DataFrame], arm: Arm) -> Iterator[tuple[Endpoint, Series]]:
    """Yield all endpoints in the tables of one model, each with its values by unit.

    Args:
        tables: the model's tables by name.
        arm: the model's arm.
    """
    for entry in MEASURES.values():
        if entry.unit != "formula" and entry.source.name in tables:
            yield from entry.of_model(tables[entry.source.name], arm)


def length_name(multiple: float) -> str:
    """Return a number of training lengths in words: ``L``, ``2L``, ``L/4``."""
    if multiple >= 1:
        return "L" if multiple == 1 else f"{multiple:g}L"
    inverse = 1.0 / multiple
    return f"L/{inverse:.0f}" if abs(inverse - round(inverse)) < 1e-9 else f"{multiple:g}L"
