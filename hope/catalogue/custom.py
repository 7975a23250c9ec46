"""A user's own class, named as ``module:Class``: its file, found without running it, and the class itself."""

import functools
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, TypeVar

from hope.errors import UserError
from hope.files import sha256_of_file

Base = TypeVar("Base")

_NOT_THE_USERS = (
    "<",
    f"{Path(__file__).parents[1]}{os.sep}",
    *(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "purelib", "platlib")),
)
"""How the names of files begin that are not the user's own: Python's, installed ones, and this package's."""


def load(name: str) -> Any:
    """Import the module of ``module:attribute`` and return the attribute."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def load_class(implementation: str, base: type[Base], key: str, public: str) -> type[Base]:
    """Import the module of ``module:Class`` and return the class.

    Args:
        implementation: the name.
        base: the class that it must derive from.
        key: the key in the config, for errors.
        public: the public name of ``base``, for errors.

    Raises:
        UserError: there is no such module or class, the module raises an error, or the class is no subclass of
            ``base``.
    """
    name, _, attribute = implementation.partition(":")
    absent = "name a module that Python finds from the project's root, and a class in it"
    try:
        module = importlib.import_module(name)
    except RAISED as error:
        # Without a line of the user's own, Python has not found the module, or cannot read it.
        if not isinstance(error, SyntaxError) and not _own_lines(error):
            raise UserError(f"{key}: '{implementation}' cannot be loaded ({error}); {absent}") from None
        raise UserError(f"{key}: '{implementation}' cannot be loaded ({own_error(error)}); mend that file") from error
    try:
        kind = getattr(module, attribute)
    except AttributeError as error:
        raise UserError(f"{key}: '{implementation}' cannot be loaded ({error}); {absent}") from None
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise UserError(f"{key}: '{implementation}' is no subclass of {public}")
    return kind


RAISED = (Exception, SystemExit)
"""What a user's own code may raise: ``sys.exit()`` must not end a command as if it had succeeded."""


def own_error(error: BaseException) -> str:
    """Return an error of a user's own code in one line, with the last line of that code."""
    reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")
    lines = [] if isinstance(error, SyntaxError) else _own_lines(error)  # a syntax error names its own place
    return reason + "".join(f" at {line.filename}:{line.lineno}" for line in lines[-1:])


def _own_lines(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the lines of the user's own code that led to an error."""
    return [line for line in traceback.extract_tb(error.__traceback__) if not line.filename.startswith(_NOT_THE_USERS)]


def source_file(family: str) -> Path:
    """Return the file of the module in ``module:Class``, as Python would find it from here.

    Neither the module nor a package around it is imported: the workflow's own process calls this too, and may
    lack what they import.

    Returns:
        A path relative to the current folder for a file in it, else an absolute one.

    Raises:
        UserError: it names no class, or there is no such module.
    """
    module, _, attribute = family.partition(":")
    if not attribute.isidentifier():
        raise UserError(f"'{family}' names no class; write module:Class")
    try:
        spec = _spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.has_location or spec.origin is None:
        raise UserError(f"'{family}' names no module that Python finds from the project's root")
    path = Path(spec.origin).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _spec(module: str) -> ModuleSpec | None:
    """Return the spec of a module; None if there is none, or only a folder."""
    # `python -m` looks into the current folder first; this process may have been started in another way.
    places = [os.getcwd(), *sys.path]
    spec = None
    for number, part in enumerate(module.split(".")):
        # The last part of the name alone: for the full name Python would import the packages around it.
        spec = PathFinder.find_spec(part, places)
        if spec is None:
            # Some installed packages have a finder of their own.
            return importlib.util.find_spec(module) if number == 0 else None
        places = list(spec.submodule_search_locations or [])
    return spec


@functools.cache
def source_digest(family: str) -> str:
    """Return the SHA-256 of that file, as it was at this process's first call.

    Raises:
        UserError: there is no such module.
    """
    return sha256_of_file(source_file(family))


def check_source(family: str, trained_with: str | None, model: str | Path) -> None:
    """Check that a user's own encoding is still what a model was trained with.

    Args:
        family: of the model's encoding.
        trained_with: the digest of its file at the training, if that is known.
        model: names the model in the error.

    Raises:
        UserError: the file has changed since then, or is gone.
    """
    if trained_with is not None and trained_with != source_digest(family):
        raise UserError(
            f"{model}: trained before {source_file(family)} was changed; train the model again, or undo the change"
        )
