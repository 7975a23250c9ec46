"""A user's own class, named as ``module:Class``: where its code lies, without running it, and the class itself."""

import functools
import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, TypeVar

from hope.errors import UserError
from hope.files import sha256_of_file

Base = TypeVar("Base")


def load(name: str) -> Any:
    """Return what ``module:attribute`` names; its module is imported."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def load_class(implementation: str, base: type[Base], key: str, public: str) -> type[Base]:
    """Return the class that ``module:Class`` names; its module is imported.

    Args:
        implementation: the name.
        base: what the class must be one of.
        key: of the config, for errors.
        public: what a user knows ``base`` as, for errors.

    Raises:
        UserError: there is no such module or class, or it is no subclass of ``base``.
    """
    try:
        kind = load(implementation)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{key}: '{implementation}' cannot be loaded ({error}); "
            "name a module that Python finds from the project's root, and a class in it"
        ) from None
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise UserError(f"{key}: '{implementation}' is no subclass of {public}")
    return kind


def source_file(family: str) -> Path:
    """Return the file that holds the class of ``module:Class``, as Python would find it from here.

    Neither that module nor a package around it is imported: the workflow's own process asks too, which may
    lack what they need.

    Returns:
        A path relative to the current folder for what lies in it, else an absolute one.

    Raises:
        UserError: there is no such module.
    """
    module = family.partition(":")[0]
    try:
        found = _spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.has_location or found.origin is None:
        raise UserError(f"'{family}' names no module that Python finds from the project's root")
    path = Path(found.origin).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _spec(module: str) -> ModuleSpec | None:
    """Return the spec of a module; None if there is none, or a folder in its place."""
    # `python -m` looks into the current folder first, whatever started the process that asks.
    places = [os.getcwd(), *sys.path]
    found = None
    for number, part in enumerate(module.split(".")):
        # By its last name alone: of the full one Python would look for the package around it, imported.
        found = PathFinder.find_spec(part, places)
        if found is None:
            # Some installed packages are known to a finder of their own.
            return importlib.util.find_spec(module) if number == 0 else None
        places = list(found.submodule_search_locations or [])
    return found


@functools.cache
def source_digest(family: str) -> str:
    """Return the SHA-256 of that file, as it was when this process first asked.

    Raises:
        UserError: there is no such module.
    """
    return sha256_of_file(source_file(family))
