"""Reads the YAML and JSON files that people write: any mistake in one is a line that names the file and the remedy.

Importing this loads no numerical library.
"""

import json
import os
from pathlib import Path
from typing import Any

import yaml

from hope.errors import UserError, nearest


def read_document(path: Path, kind: str) -> Any:
    """Return the content of a YAML file, or of a JSON file if its name ends in ``.json``.

    Args:
        path: the file.
        kind: what the file is, for the message if it is missing: ``config file``.

    Raises:
        UserError: the file is missing, cannot be read, is not UTF-8, is neither YAML nor JSON, or gives a key twice.
    """
    name = "JSON" if path.suffix == ".json" else "YAML"
    try:
        text = path.read_bytes().decode("utf-8-sig")
        # YAML would read a number like 1e-05 as text.
        return json.loads(text, object_pairs_hook=_distinct) if name == "JSON" else yaml.load(text, _Loader)  # noqa: S506
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such {kind}{_nearby(path)}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; name a {kind} that can") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except RecursionError:
        raise UserError(f"{path}: not valid {name}: its lists or maps are nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: {_mistake(error, name)}") from None


class _DuplicateKey(ValueError):
    """A key that stands twice in one map: the first value would be lost without a word."""


class _Loader(yaml.SafeLoader):
    """The safe loader, which makes plain values only; a key that stands twice in one map is an error."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        # As the map is written: when it is constructed, maps that it merges by << are part of it.
        node = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line, value = key.start_mark.line + 1, self.construct_object(key)
                if value in lines:
                    raise _DuplicateKey(f"the key '{key.value}' is in line {lines[value]} and again in line {line}")
                lines[value] = line
        return node


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the map of a JSON object, whose keys must differ."""
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _DuplicateKey(f"the key '{key}' occurs twice in one object")
        result[key] = value
    return result


def _mistake(error: yaml.YAMLError | ValueError, name: str) -> str:
    """Return what is wrong with the text of a file, in one line."""
    if isinstance(error, _DuplicateKey):
        return f"{error}; keep one of them"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        reason = f"{error.problem} in line {error.problem_mark.line + 1}"
    else:
        reason = " ".join(str(error).split()).partition("; use sys.")[0]
    return f"not valid {name}: {reason}"


def _nearby(path: Path) -> str:
    """Return a hint at a similar name in the folder of a missing file."""
    try:
        return nearest(path.name, os.listdir(path.parent))
    except OSError:
        return ""
