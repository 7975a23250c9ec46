"""From a config's encoding to its module."""

import importlib
import inspect

from hope import config
from hope.catalogue import FAMILIES, is_custom
from hope.encodings.base import Encoding, EncodingShape
from hope.errors import UserError


def build_encoding(encoding: config.Encoding, shape: EncodingShape) -> Encoding:
    """Return the module of a contestant.

    Raises:
        UserError: a user's ``module:Class`` cannot be imported, is no :class:`Encoding`, or does not
            take the given settings.
    """
    if not is_custom(encoding.family):
        return _load(FAMILIES[encoding.family].implementation, encoding.name)(shape, **encoding.settings)
    kind = _load(encoding.family, encoding.name)
    try:
        inspect.signature(kind).bind(shape, **encoding.settings)
    except TypeError as error:
        raise UserError(f"definitions.{encoding.name}.settings: {encoding.family}: {error}") from None
    return kind(shape, **encoding.settings)


def _load(implementation: str, name: str) -> type[Encoding]:
    module, _, attribute = implementation.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"definitions.{name}.family: '{implementation}' cannot be loaded ({error}); "
            "name a module that Python finds from the project's root, and a class in it"
        ) from None
    if not (isinstance(kind, type) and issubclass(kind, Encoding)):
        raise UserError(f"definitions.{name}.family: '{implementation}' is no subclass of hope.encodings.base.Encoding")
    return kind
