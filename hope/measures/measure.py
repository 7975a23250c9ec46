"""What a measure is, and the key of each endpoint: one measure at one set of qualifiers.

A measure is the function that computes it, under the decorator :func:`measure`; the function's name is its own. What
makes several endpoints of one measure are its qualifiers (a task, a number of training lengths, ...): columns of
their own in every table, never parts of a name. Claims are checked with nothing of this computed, so that the files
of this room import numpy and pandas within functions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from hope.config import Arm

NATS = "nats a token"
Unit = Literal["document", "prompt", "model", "formula"]
Value = str | float
Compute = Callable[..., Any]
Settings = dict[str, Any]
"""What several measures of a file have in common, of the attributes of :class:`Measure`."""


@dataclass(frozen=True)
class Endpoint:
    """The key of an endpoint, without the model: a measure and its qualifiers, None where the measure takes none.

    Attributes:
        measure: name of a measure.
        task: the retrieval task.
        multiple: a number of training lengths; the measure says of what.
        depth: place of what a task asks for, 0 to 1; None: all depths together.
        extension: label of the length extension; None: the model as it was trained.
        intervention: what was done to frequency components.
        components: to which, or of which.
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
"""Interventions on components (:mod:`hope.analysis.intervention`), and what they make of them."""


@dataclass(frozen=True)
class Source:
    """A table that measures are computed from.

    Attributes:
        room: ``evaluation``, ``analysis`` or ``theory``.
        name: of the table, without its ending.
        summaries: the summary tables that show its measures.
        always: whether every model has it.
    """

    room: str
    name: str
    summaries: tuple[str, ...] = ()
    always: bool = True


@dataclass(frozen=True)
class Listed:
    """The values of a qualifier that a study measures.

    Attributes:
        key: where its config lists them.
        of: the values, by study and by the endpoint that is asked for.
        parts: if they stand in a column of the table: yields each with its rows.
        optional: whether the qualifier may be left out.
    """

    key: str
    of: Callable[[Arm, Endpoint], Sequence[Value]]
    parts: Callable[[DataFrame], Iterator[tuple[Value | None, DataFrame]]] | None = None
    optional: bool = False


Takes = Mapping[str, Listed | tuple[str, ...]]
"""The values of each qualifier that a measure takes: what the study lists, or always the same."""


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: its name, that of the function.
        compute: the function. Of models it takes the rows of one model's table, the training length L in tokens and
            those of the qualifiers that are no column of the table, and returns values by unit, or one number; of
            formulas it takes the table, the study and the name of an encoding, and returns a number or None.
        text: what it is, the first paragraph of the function's docstring.
        label: it and its qualifiers in few words, to be filled in; ``half`` is half of ``multiple``.
        source: where it is read from.
        scale: what its numbers count.
        unit: what one observation belongs to, besides the model.
        better: which direction is better for the model, if either is.
        takes: its qualifiers.
        needs: what a study must have for it, in words, and whether one has.
        loss: whether it is a loss, so that a difference is also a change of perplexity in percent.
        points: whether it is a share of right answers, so that a difference is also shown in points.
        compared: whether the exploratory comparisons include it, all depths together.
        extended: whether they include it with length extensions too.
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
        """Yield the endpoints of one model, each with its values by unit; what it cannot have is left out."""
        for endpoint, rows in self._cells(table, arm, Endpoint(self.name), list(self.takes)):
            given = {name: getattr(endpoint, name) for name in self.takes if not self._is_column(name)}
            values = self.compute(rows, arm.training.length, **given)
            if len(values):
                yield endpoint, values

    def _cells(
        self, table: DataFrame, arm: Arm, endpoint: Endpoint, left: list[str]
    ) -> Iterator[tuple[Endpoint, DataFrame]]:
        """Yield each combination of the qualifiers that are left, with the rows of it."""
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
        """Return what is wrong with the qualifiers of an endpoint, whatever the study; empty if nothing is."""
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
        """Return what a study would need in its config to measure an endpoint; empty if it does measure it."""
        if self.needs is not None and not self.needs[1](arm):
            return f"{endpoint.words} needs {self.needs[0]}"
        for name, choice in self.takes.items():
            value = getattr(endpoint, name)
            if isinstance(choice, Listed) and value is not None and value not in choice.of(arm, endpoint):
                shown = f"{value:g}" if isinstance(value, float) else f"'{value}'"
                return f"{endpoint.words} needs {shown} in {choice.key.format(**endpoint.columns)}"
        return ""

    def is_compared(self, endpoint: Endpoint) -> bool:
        """Return whether the exploratory comparisons include an endpoint of it."""
        return self.compared and endpoint.depth is None and (self.extended or endpoint.extension is None)


MEASURES: dict[str, Measure] = {}
"""All measures by name, in the order of the tables."""


def measure(label: str, **settings: Any) -> Callable[[Compute], Compute]:
    """Declare the measure that the function below computes, and whose docstring says what it is.

    Args:
        label: as of :class:`Measure`.
        settings: the other attributes of it.
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
    """Yield all endpoints that these tables of one model have, each with its values by unit.

    Args:
        tables: the model's tables by name.
        arm: whose model it is.
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
