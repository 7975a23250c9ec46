"""What positional encodings there are: names, settings, formulas and sources, without loading torch.

One entry a family. The implementation is named as ``module:Class`` and imported only where a model is
built, so that checking a config or listing the encodings needs pydantic alone. A user's own encoding
needs no entry: a definition in the config names its ``module:Class`` as the family.
"""

from hope.catalogue.additive import ADDITIVE
from hope.catalogue.family import Family
from hope.catalogue.presets import PRESETS
from hope.catalogue.rotary import ROTARY
from hope.errors import UserError, nearest

__all__ = ["FAMILIES", "NAMES", "PRESETS", "Family", "family_settings", "is_custom"]

FAMILIES: dict[str, Family] = {family.name: family for family in (*ROTARY, *ADDITIVE)}
NAMES: list[str] = [*FAMILIES, *PRESETS]
"""What a study may list without a definition of its own."""


def is_custom(family: str) -> bool:
    """Return whether ``family`` names a user's own class as ``module:Class``."""
    return ":" in family


def family_settings(family: str, settings: dict) -> dict:
    """Return ``settings`` with the family's defaults filled in, and without those that are left out.

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
