"""The encodings of a study, as in a config."""

from typing import Any

from pydantic import Field

from hope.section import Section


class EncodingDefinition(Section):
    """An entry of ``definitions``: a family with settings, under the user's own name."""

    family: str = Field(description="a family of the catalogue, or module:Class for your own")
    settings: dict[str, Any] = Field(default={}, description="settings of the family")
    text_only: bool = Field(default=False, description="train on text alone, without the mixture")


class EncodingSpec(EncodingDefinition):
    """One encoding of a study, with every setting filled in."""

    name: str
