"""A wrong config, told in one line."""

from collections.abc import Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hope.errors import nearest


def first_error(error: ValidationError) -> ErrorDetails:
    """Return the error that is told: a misspelt key is the cause of the missing one beside it."""
    errors = error.errors(include_url=False)
    return next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])


def describe(error: ValidationError, kind: type[BaseModel], prefix: str = "", also: Sequence[str] = ()) -> str:
    """Return the first error of a validation as one line with the key's full name and a remedy.

    Args:
        error: of the validation.
        kind: what was validated.
        prefix: the key under which it stands.
        also: keys that are valid beside those of ``kind`` where there is no prefix.
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
        got = first.get("input")
        shown = f" (got {got!r})" if isinstance(got, str | int | float | bool) or got is None else ""
        if first["type"] == "float_type" and isinstance(got, str):
            shown += "; YAML reads 3e-3 as text, write 3.0e-3 or 0.003"
        text = f"{key}: {message}{shown}" if key else message
    return text + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")


def _keys_at(kind: type[BaseModel], location: tuple) -> list[str]:
    """Return the valid keys of the section at ``location`` within ``kind``; none where there is no section."""
    found: Any = kind
    for part in location:
        found = _inside(found, part)
    return [field.alias or name for name, field in found.model_fields.items()] if _is_section(found) else []


def _inside(annotation: Any, part: str | int) -> Any:
    """Return the type of what stands at ``part`` in a value of the type ``annotation``."""
    if _is_section(annotation):
        fields = {(field.alias or name): field for name, field in annotation.model_fields.items()}
        return _plain(fields[part].annotation) if part in fields else None
    if get_origin(annotation) in (list, dict):
        return _plain(get_args(annotation)[-1])
    # Of several sections the one whose kind is named.
    return next((each for each in get_args(annotation) if part in get_args(each.model_fields["kind"].annotation)), None)


def _plain(annotation: Any) -> Any:
    """Return a type without what is said of it besides, and without None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    sections = [each for each in get_args(annotation) if _is_section(each)]
    return sections[0] if len(sections) == 1 and type(None) in get_args(annotation) else annotation


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
