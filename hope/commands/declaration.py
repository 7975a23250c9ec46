"""The declaration of a command: a function, its arguments, and, for a step of the workflow, the files that it writes.

The command has the function's name, and the first line of the docstring is its help. A command imports what it needs
within its function, so that ``--help`` and light commands load no numerical library.
"""

import argparse
import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Argument = Callable[[argparse.ArgumentParser], Any]
Function = Callable[[argparse.Namespace], int | None]

argument = functools.partial(operator.methodcaller, "add_argument")
"""Takes the arguments of :meth:`~argparse.ArgumentParser.add_argument`; the result adds the argument to a parser."""


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        function: takes the parsed command line and returns an exit status; None is 0.
        summary: one sentence for ``--help``.
        arguments: in the order of the help.
        record: file of a step's provenance, beside its outputs; empty for none.
        outputs: files that a step writes into ``--output``, by their names in the workflow's rule.
    """

    function: Function
    summary: str
    arguments: tuple[Argument, ...]
    record: str
    outputs: dict[str, str]


COMMANDS: dict[str, Command] = {}
"""All commands, by name."""


def command(*arguments: Argument, record: str = "", **outputs: str) -> Callable[[Function], Function]:
    """Declare the function below as a command: ``def check_encoding`` is ``python -m hope check-encoding``."""

    def declare(function: Function) -> Function:
        name = function.__name__.rstrip("_").replace("_", "-")
        summary = (function.__doc__ or "").partition("\n")[0]
        COMMANDS[name] = Command(function, summary, arguments, record, outputs)
        return function

    return declare


def required(name: str, meaning: str, kind: Callable[[str], Any] = Path) -> Argument:
    """Declare a required option."""
    return argument(name, required=True, type=kind, help=meaning)


def positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    """Return a parser of numbers above 0."""

    def read(text: str) -> float:
        number = kind(text)
        if not 0 < number < 1e18:
            raise argparse.ArgumentTypeError(f"'{text}' is not above 0, or larger than anything it could count")
        return number

    read.__name__ = getattr(kind, "__name__", "number")
    return read


def at_least(fewest: int) -> Callable[[str], int]:
    """Return a parser of whole numbers that are at least ``fewest``."""

    def read(text: str) -> int:
        number = int(text)
        if number < fewest:
            raise argparse.ArgumentTypeError(f"'{text}' is below {fewest}")
        return number

    read.__name__ = "number"
    return read


CONFIGFILE = argument(
    "--configfile", nargs="+", action="extend", type=Path, default=[], help="overlays of config.yaml, in order"
)
STUDY = argument("study", type=Path, help="name of a study, or its folder")
