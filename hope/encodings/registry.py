"""Builds the module of an encoding in a config."""

import functools
import inspect
from typing import Any

from pydantic import ValidationError

from hope import config
from hope.catalogue import FAMILIES, Family, family_settings
from hope.catalogue.custom import RAISED, load_class, own_error
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.fixed_bias import FixedBias
from hope.encodings.rotary import Rotary
from hope.errors import UserError


def build_encoding(encoding: config.EncodingSpec, shape: EncodingShape) -> Encoding:
    """Return the module of an encoding.

    Raises:
        UserError: the family or one of its settings is unknown or does not fit the shape, or a user's
            ``module:Class`` cannot be imported, is no :class:`Encoding`, or cannot be made with the settings.
    """
    key = f"definitions.{encoding.name}"
    try:
        # Settings from a model's config.json are unchecked.
        settings = family_settings(encoding.family, encoding.settings)
    except UserError as error:
        raise UserError(f"{key}.family: {error}") from None
    except ValidationError as error:
        raise UserError(config.describe(error, FAMILIES[encoding.family].settings, f"{key}.settings")) from None
    family = FAMILIES.get(encoding.family)
    if family is not None and family.implementation is None:
        make = functools.partial(_declared, family, settings, shape)
    else:
        implementation = encoding.family if family is None else str(family.implementation)
        kind = load_class(implementation, Encoding, f"{key}.family", "hope.encodings.base.Encoding")
        make = functools.partial(kind, shape, **settings)
        try:
            inspect.signature(kind).bind(shape, **settings)
        except TypeError as error:
            raise UserError(f"{key}.settings: {encoding.family}: {error}") from None
    try:
        made = make()
    except (UserError, ValueError) as error:
        raise UserError(f"{key}.settings: {error}") from error
    except RAISED as error:
        if family is not None:
            raise
        raise UserError(
            f"{key}.settings: {encoding.family} cannot be made with them ({own_error(error)}); "
            "change them, or mend that file"
        ) from error
    if not {"_modules", "shape"} <= vars(made).keys():
        raise UserError(f"{key}.family: the __init__ of {encoding.family} must call super().__init__(shape)")
    return made


def _declared(family: Family, settings: dict[str, Any], shape: EncodingShape) -> Encoding:
    """Return the module of a family that declares a spectrum or a bias."""
    spectrum = family.spectrum_at(settings, shape.head_dim, shape.length)
    if spectrum is not None:
        return Rotary.of(spectrum, shape, family.name)
    assert family.bias is not None, f"{family.name} declares no spectrum, no bias and no implementation"
    return FixedBias(
        shape, functools.partial(family.bias, family.settings.model_validate(settings), shape), family.name
    )
