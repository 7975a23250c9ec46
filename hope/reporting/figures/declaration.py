"""The figures of the report: each is a function in this folder with the decorator :func:`figure`.

The declarations are read from the text of the files, not by importing them, because the workflow reads the names of
the figures in a process that has no numerical library.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hope.errors import UserError

if TYPE_CHECKING:
    from hope.config import Study

ORDER = (
    "story", "claims", "loss", "extensions", "retrieval", "comparisons", "attention", "components", "intervention",
    "divergence", "kernels", "training", "documents",
)  # fmt: skip
"""The files in the report's order; other files follow. Within a file figures keep the order of the text."""

Draw = TypeVar("Draw", bound=Callable[..., Any])


@dataclass(frozen=True)
class FigureDeclaration:
    """A figure as it is known without being drawn.

    Attributes:
        name: name of the function and of the figure's files.
        module: name of the file in this folder that holds the function, without its suffix.
        title: title on a page.
        look: how to read the figure, in a few sentences.
        alt: description for a reader who cannot see the figure.
        across: True if it is drawn once for the whole study, False if once per arm that has the tables.
        needs: the tables that the figure cannot be drawn without: ``room/file`` with the room ``model``, ``analysis``
            or ``evaluation`` of a model, or ``theory``, ``tables`` or ``data`` of the study; or a file at the top of
            the study.
    """

    name: str
    module: str
    title: str
    look: str
    alt: str
    needs: tuple[str, ...]
    across: bool = False

    @property
    def caption(self) -> str:
        """The caption in reStructuredText: title, description, and how to read the figure."""
        title, alt, look = (re.sub(r"([\\*`|_])", r"\\\1", text) for text in (self.title, self.alt, self.look))
        return f"**{title}.** {alt} {look}\n"


def figure(*, title: str, look: str, alt: str, needs: tuple[str, ...], across: bool = False) -> Callable[[Draw], Draw]:
    """Declare the decorated function as a figure of the report.

    The function takes a :class:`~hope.reporting.study_tables.ArmTables`, or a
    :class:`~hope.reporting.study_tables.StudyTables` if it is ``across`` arms, and returns a
    :class:`hope.reporting.figures.data.Drawing`, or None if the study has nothing to draw. It is called only if all
    tables in ``needs`` have rows. All arguments must be literals (:class:`FigureDeclaration` explains them).
    """
    return lambda draw: draw


@cache
def declared_figures(folder: Path = Path(__file__).parent) -> tuple[FigureDeclaration, ...]:
    """Return the figures that the files of ``folder`` declare, in the report's order.

    Raises:
        UserError: an argument of a declaration is not a literal, is missing or unknown, or two figures share a name.
    """
    places = {name: place for place, name in enumerate(ORDER)}
    files = sorted(folder.glob("*.py"), key=lambda file: (places.get(file.stem, len(ORDER)), file.stem))
    declared: dict[str, FigureDeclaration] = {}
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8"), str(file)).body:
            for call in getattr(node, "decorator_list", []):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == figure.__name__:
                    assert isinstance(node, ast.FunctionDef), "only a function can be a figure"
                    if node.name in declared:
                        raise UserError(f"{file}:{node.lineno}: figure '{node.name}' is declared twice")
                    declared[node.name] = FigureDeclaration(node.name, file.stem, **_arguments(call, file, node.name))
    return tuple(declared.values())


def _arguments(call: ast.Call, file: Path, name: str) -> dict[str, Any]:
    """Return the keyword arguments of one declaration."""
    arguments: dict[str, Any] = {}
    for keyword in call.keywords:
        try:
            arguments[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError:
            raise UserError(
                f"{file}:{keyword.value.lineno}: '{keyword.arg}' of figure '{name}' must be a literal: the file is "
                "not run"
            ) from None
    wanted = {field.name for field in fields(FigureDeclaration)} - {"name", "module", "across"}
    if call.args or set(arguments) - {"across"} != wanted:
        raise UserError(f"{file}:{call.lineno}: figure '{name}' must have exactly {', '.join(sorted(wanted))}")
    return arguments


def study_figures(study: "Study") -> list[tuple[FigureDeclaration, str]]:
    """Return the figures of a study: each with the name of its arm, empty for one across arms."""
    whole = [(declared, "") for declared in declared_figures() if declared.across]
    return whole + [
        (declared, name)
        for name, arm in study.arms.items()
        for declared in declared_figures()
        if not declared.across and all(table.startswith("tables/") or table in arm.tables for table in declared.needs)
    ]


def figure_named(name: str) -> FigureDeclaration:
    """Return the figure called ``name``; KeyError if there is none."""
    return {known.name: known for known in declared_figures()}[name]
