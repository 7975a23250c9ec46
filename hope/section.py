"""The base class of every part of the config."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
COMMIT = r"[0-9a-f]{40}"


class Section(BaseModel):
    """A part of the config; an unknown key, or a value of another type, is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
