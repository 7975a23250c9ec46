"""The figures of the report: each is a function in this folder under the decorator :func:`figure`.

The declarations are read from the text of the files, not by importing them: the workflow asks for the names of the
figures in a process that has no numerical library.
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
    "divergence", "kernels", "training",
)  # fmt: skip
"""The files in the report's order; those not named come behind them. Within a file the order is that of the text."""

Draw = TypeVar("Draw", bound=Callable[..., Any])


@dataclass(frozen=True)
class FigureDeclaration:
    """What the rest of the project knows of a figure without drawing it.

    Attributes:
        name: the function's name, and that of the figure's files.
        module: the file of this folder that holds the function, without its suffix.
        title: the figure's title on a page.
        look: what to look at, in a sentence or two.
        alt: what the figure shows, for a reader who cannot see it.
        across: whether it is drawn once for the whole study, and not for each arm that has what it needs.
        needs: the tables without which there is nothing to draw: ``room/file``, the room ``model``, ``analysis`` or
            ``evaluation`` of a model, or ``theory`` or ``tables`` of the study; or a file at the top of the study.
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
        """The caption in reStructuredText: title, what is shown, what to look at."""
        title, alt, look = (re.sub(r"([\\*`|_])", r"\\\1", text) for text in (self.title, self.alt, self.look))
        return f"**{title}.** {alt} {look}\n"


def figure(*, title: str, look: str, alt: str, needs: tuple[str, ...], across: bool = False) -> Callable[[Draw], Draw]:
    """Declare the decorated function as a figure of the report.

    The function takes a :class:`~hope.reporting.study_tables.ArmTables`, or a
    :class:`~hope.reporting.study_tables.StudyTables` where it is ``across`` arms, and returns a
    :class:`hope.reporting.figures.data.Drawing`, or None where the study has nothing to draw. It is called only where
    all tables in ``needs`` have rows. All arguments must be literals (:class:`FigureDeclaration` says what they mean).
    """
    return lambda draw: draw


@cache
def declared_figures(folder: Path = Path(__file__).parent) -> tuple[FigureDeclaration, ...]:
    """Return the figures that the files of ``folder`` declare, in the report's order.

    Raises:
        UserError: an argument of a declaration is no literal, is missing or unknown, or two figures share a name.
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
                        raise UserError(f"{file}:{node.lineno}: a figure '{node.name}' is declared already")
                    declared[node.name] = FigureDeclaration(node.name, file.stem, **_arguments(call, file, node.name))
    return tuple(declared.values())


def _arguments(call: ast.Call, file: Path, name: str) -> dict[str, Any]:
    """Return the keywords of one declaration."""
    arguments: dict[str, Any] = {}
    for keyword in call.keywords:
        try:
            arguments[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError:
            raise UserError(
                f"{file}:{keyword.value.lineno}: '{keyword.arg}' of figure '{name}' must be a literal, for it is read "
                "without running the file"
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
