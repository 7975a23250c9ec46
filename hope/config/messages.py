"""Mistakes in a config, reported in one line."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hope.errors import nearest


def first_error(error: ValidationError) -> ErrorDetails:
    """Return the error to report: a misspelt key first, since it causes the error of the missing key."""
    errors = error.errors(include_url=False)
    return next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])


def describe(error: ValidationError, kind: type[BaseModel], prefix: str = "", also: Sequence[str] = ()) -> str:
    """Return the first error of a validation as one line with the key's full name and a remedy.

    Args:
        error: the error of the validation.
        kind: the model that was validated.
        prefix: the key of the validated part.
        also: further valid keys at the top level, if there is no prefix.
    """
    errors, first = error.errors(include_url=False), first_error(error)
    key = ".".join(part for part in [prefix, *(str(part) for part in first["loc"])] if part)
    if first["type"] == "extra_forbidden":
        known = [*(also if len(first["loc"]) == 1 and not prefix else ()), *_keys_at(kind, first["loc"][:-1])]
        text = f"unknown key '{key}'{nearest(str(first['loc'][-1]), known)}; known here are {', '.join(known)}"
    elif first["type"] == "missing":
        text = f"key '{key}' is missing"
    else:
        message = first["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        value = first.get("input")
        if first["type"] in ("model_type", "dict_type"):
            message = "expected 'key: value' lines below it"
        elif first["type"] == "invalid_key":
            message = "a key must be text; put it in quotes"
        elif first["type"] == "secret":
            return f"{key}: {message}"
        shown = ""
        if isinstance(value, bool) or value is None:
            shown = f" (got {json.dumps(value)})"
        elif isinstance(value, str | int | float):
            shown = f" (got {_short(repr(value))})"
        if first["type"] == "float_type" and isinstance(value, str):
            shown += "; YAML reads 3e-3 as text, write 3.0e-3 or 0.003"
        text = f"{key}: {message}{shown}" if key else message
    return text + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


def _keys_at(kind: type[BaseModel], location: tuple) -> list[str]:
    """Return the valid keys of the section at ``location`` within ``kind``; none if there is no section."""
    section: Any = kind
    for part in location:
        section = _inside(section, part)
    return [field.alias or name for name, field in section.model_fields.items()] if _is_section(section) else []


def _inside(annotation: Any, part: str | int) -> Any:
    """Return the type of the entry ``part`` of a value of the type ``annotation``."""
    if _is_section(annotation):
        fields = {(field.alias or name): field for name, field in annotation.model_fields.items()}
        return _plain(fields[part].annotation) if part in fields else None
    if get_origin(annotation) in (list, dict):
        return _plain(get_args(annotation)[-1])
    # A union of sections: the one with this kind.
    return next((each for each in get_args(annotation) if part in get_args(each.model_fields["kind"].annotation)), None)


def _plain(annotation: Any) -> Any:
    """Return a type without its annotations, and without None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    sections = [each for each in get_args(annotation) if _is_section(each)]
    return sections[0] if len(sections) == 1 and type(None) in get_args(annotation) else annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
