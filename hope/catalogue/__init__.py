"""The positional encodings: names, settings, formulas and sources, without loading torch.

Every module of :mod:`hope.catalogue.families` declares one family, or a few related ones. Checking a config and listing
the encodings need pydantic alone. A user's own encoding needs no declaration: a definition in the config names its
``module:Class`` as the family.
"""

import importlib
import pkgutil

from hope.catalogue import families
from hope.catalogue.family import Family, Preset
from hope.errors import UserError, nearest

__all__ = ["FAMILIES", "NAMES", "PRESETS", "Family", "family_settings", "is_custom"]

_MODULES = [
    importlib.import_module(f"{families.__name__}.{module.name}") for module in pkgutil.iter_modules(families.__path__)
]
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in sorted(
        (declared for module in _MODULES for declared in vars(module).values() if isinstance(declared, Family)),
        key=lambda family: (family.rank, family.name),
    )
}
PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in sorted(
        (preset for module in _MODULES for preset in getattr(module, "PRESETS", ())),
        key=lambda preset: (preset.rank, preset.name),
    )
}
NAMES: list[str] = [*FAMILIES, *PRESETS]
"""The names that a study may list without a definition of its own."""


def is_custom(family: str) -> bool:
    """Return whether ``family`` names a user's own class as ``module:Class``."""
    return ":" in family


def family_settings(family: str, settings: dict) -> dict:
    """Return ``settings`` with the family's defaults filled in; settings that are None are left out.

    A custom family's settings pass unchanged: its class checks them when the model is built.

    Raises:
        UserError: the family is unknown.
        pydantic.ValidationError: a setting is unknown or out of range.
    """
    if is_custom(family):
        return dict(settings)
    if family not in FAMILIES:
        raise UserError(
            f"'{family}' is no encoding{nearest(family, FAMILIES)}; "
            f"known are {', '.join(FAMILIES)}, or 'module:Class' for your own"
        )
    return FAMILIES[family].settings.model_validate(settings).model_dump(exclude_none=True)
