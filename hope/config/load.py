"""Reads the config from files and command lines, and writes it."""

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from hope.config.documents import read_document
from hope.config.messages import describe
from hope.config.study import Study, resolve
from hope.errors import UserError
from hope.section import Section

BASE = Path("config.yaml")
"""The default study, below every overlay; in the project's root."""

AnySection = TypeVar("AnySection", bound=Section)


def to_json(section: Section, leave_out: dict[str, set[str]] | None = None) -> str:
    """Return a section as one line of sorted JSON with all defaults; ``leave_out`` maps parts to keys to leave out."""
    return json.dumps(section.model_dump(mode="json", by_alias=True, exclude=leave_out), sort_keys=True)


def from_json(kind: type[AnySection], text: str) -> AnySection:
    """Read a section from the JSON of :func:`to_json`.

    Raises:
        UserError: the text is not JSON, or not of this kind.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise UserError(describe(error, kind, "--settings")) from None


def parse_study(content: Any, origin: str) -> Study:
    """Return the study that ``content``, a parsed YAML document, describes.

    Raises:
        UserError: one line with the key, the mistake and the nearest valid name.
    """
    return resolve([(origin, _lines(content, origin))])


def load_study(paths: list[Path], over: dict[str, Any] | None = None) -> Study:
    """Read config files, later ones over earlier ones, as :func:`~hope.config.study.resolve` does.

    Args:
        paths: the files, ``config.yaml`` first.
        over: keys from the command line, laid over the files.

    Raises:
        UserError: a file is missing, is empty, is not YAML, or the study is wrong.
    """
    layers = []
    for path in paths:
        content = read_document(path, "config file")
        if content is None:
            raise UserError(f"{path}: there is nothing in it; write 'key: value' lines, or leave the file out")
        layers.append((str(path), _lines(content, str(path))))
    return resolve([*layers, *([("--config", over)] if over else [])])


def _lines(content: Any, origin: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UserError(f"{origin}: expected 'key: value' lines, as in config.yaml")
    return content


def with_base(overlays: list[Path]) -> list[Path]:
    """Return config files in the order in which they are laid over each other, ``config.yaml`` first."""
    return [BASE, *(path for path in overlays if path != BASE)]
