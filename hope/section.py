"""The base class of every part of the config."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

Share = Annotated[float, Field(ge=0.0, le=1.0)]
COMMIT = r"[0-9a-f]{40}"


class Section(BaseModel):
    """A part of the config; an unknown key, or a value of another type, is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class GrownSection(Section):
    """A section with keys that are newer than some results.

    Attributes:
        later: those keys. At their defaults they are not written, so that the fingerprints of older models, and the
            records of other older results, stay valid.
    """

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        fields = type(self).model_fields
        return {key: value for key, value in content.items() if key not in self.later or value != fields[key].default}
