"""From a config's encoding to its module."""

import inspect

from pydantic import ValidationError

from hope import config
from hope.catalogue import FAMILIES, family_settings, is_custom
from hope.catalogue.custom import load_class
from hope.encodings.base import Encoding, EncodingShape
from hope.errors import UserError


def build_encoding(encoding: config.Encoding, shape: EncodingShape) -> Encoding:
    """Return the module of a contestant.

    Raises:
        UserError: the family or one of its settings is unknown or does not fit the shape, or a user's
            ``module:Class`` cannot be imported, is no :class:`Encoding`, or does not take the settings.
    """
    key = f"definitions.{encoding.name}.settings"
    if is_custom(encoding.family):
        kind, settings = _load(encoding.family, encoding.name), encoding.settings
        try:
            inspect.signature(kind).bind(shape, **settings)
        except TypeError as error:
            raise UserError(f"{key}: {encoding.family}: {error}") from None
        try:
            return kind(shape, **settings)
        except (UserError, ValueError) as error:
            raise UserError(f"{key}: {error}") from error
    try:
        # Those of a model's config.json come unchecked.
        settings = family_settings(encoding.family, encoding.settings)
    except UserError as error:
        raise UserError(f"definitions.{encoding.name}.family: {error}") from None
    except ValidationError as error:
        raise UserError(config.describe(error, FAMILIES[encoding.family].settings, key)) from None
    kind = _load(FAMILIES[encoding.family].implementation, encoding.name)
    try:
        return kind(shape, **settings)
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def _load(implementation: str, name: str) -> type[Encoding]:
    return load_class(implementation, Encoding, f"definitions.{name}.family", "hope.encodings.base.Encoding")
