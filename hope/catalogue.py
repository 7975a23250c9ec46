"""What positional encodings there are: names, settings, formulas and sources, without loading torch.

One entry a family. The implementation is named as ``module:Class`` and imported only where a model is
built, so that checking a config or listing the encodings needs pydantic alone. A user's own encoding
needs no entry: a definition in the config names its ``module:Class`` as the family.
"""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from hope.errors import UserError, nearest


class Settings(BaseModel):
    """Settings of one encoding; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class NoSettings(Settings):
    """An encoding without settings."""


class RotarySettings(Settings):
    """Settings of a rotary encoding."""

    base: float = Field(10_000.0, gt=1.0, description="base b of the frequencies b^(-2j/d)")


class HopeSettings(RotarySettings):
    """Settings of HoPE."""

    cutoff: float = Field(
        1.0,
        ge=0.0,
        description="turns that a component must complete within the training length to be kept",
    )


@dataclass(frozen=True)
class Family:
    """One family of encodings.

    Attributes:
        name: the name by which a config lists it.
        implementation: ``module:Class`` of the :class:`hope.encodings.base.Encoding`.
        settings: the model of its settings.
        formula: the encoding in one line.
        source: the paper that defined it.
        rotary: whether it rotates queries and keys by an angle linear in position.
        bounded: whether it has no positions past the training length.
    """

    name: str
    implementation: str
    settings: type[Settings]
    formula: str
    source: str
    rotary: bool = False
    bounded: bool = False


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "rope",
            "hope.encodings.rotary:Rope",
            RotarySettings,
            "rotate component j by m * b^(-2j/d)",
            "Su et al. 2021, arXiv 2104.09864",
            rotary=True,
        ),
        Family(
            "hope",
            "hope.encodings.rotary:Hope",
            HopeSettings,
            "RoPE where b^(-2j/d) >= 2 pi * cutoff / L, angle 0 elsewhere",
            "Chen et al. 2025, arXiv 2410.21216",
            rotary=True,
        ),
        Family(
            "none",
            "hope.encodings.none:NoEncoding",
            NoSettings,
            "no positional encoding; the causal mask alone tells order",
            "Kazemnejad et al. 2023, arXiv 2305.19466",
        ),
        Family(
            "alibi",
            "hope.encodings.alibi:Alibi",
            NoSettings,
            "logit - s_h * (i - j), s_h = 2^(-8h/H)",
            "Press et al. 2022, arXiv 2108.12409",
        ),
        Family(
            "learned",
            "hope.encodings.learned:Learned",
            NoSettings,
            "add row m of a trained table of L rows to the embedding",
            "Vaswani et al. 2017, arXiv 1706.03762",
            bounded=True,
        ),
    )
}


def is_custom(family: str) -> bool:
    """Return whether ``family`` names a user's own class as ``module:Class``."""
    return ":" in family


def family_settings(family: str, settings: dict) -> dict:
    """Return ``settings`` with the family's defaults filled in.

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
    return FAMILIES[family].settings.model_validate(settings).model_dump()
