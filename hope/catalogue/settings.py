"""Settings of encodings: what their models share."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator

Positive = Annotated[float, Field(gt=0.0)]


class Settings(BaseModel):
    """Settings of one encoding; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class NoSettings(Settings):
    """An encoding without settings."""


class RotarySettings(Settings):
    """Settings of a rotary encoding."""

    base: Positive = Field(10_000.0, description="base b of the frequencies b^(-2j/d)")


def number_or(word: str, low: float, high: float, expected: str) -> PlainValidator:
    """Return a check for a number from ``low`` (itself left out) to ``high``, or one word in its place."""

    def check(value: Any) -> float | str:
        if value == word:
            return word
        try:
            # YAML reads 5e5, without a point, as text.
            number = None if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = None
        if number is None or not low < number <= high:
            raise ValueError(f"input should be {expected}, or '{word}'")
        return number

    return PlainValidator(check)
