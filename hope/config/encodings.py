"""The contestants of a study as a config names them."""

from typing import Any

from pydantic import Field

from hope.section import Section


class EncodingDefinition(Section):
    """An entry under ``definitions``: a family with settings, under a name of the user's."""

    family: str = Field(description="a known encoding, or module:Class of your own")
    settings: dict[str, Any] = Field(default={}, description="settings of the family")
    text_only: bool = Field(default=False, description="train on text alone, without the mixture")


class EncodingSpec(EncodingDefinition):
    """One contestant of the study, with every setting filled in."""

    name: str
