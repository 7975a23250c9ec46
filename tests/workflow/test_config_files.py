"""Every config and overlay that is shipped is right, and says what it means."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hope.config import load_study, merge
from hope.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "config.yaml"
PRESETS = sorted((ROOT / "workflow" / "presets").glob("*.yaml"))
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def keys(schema: dict[str, Any], whole: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the dotted names of all keys that a schema describes."""
    found = set()
    for name, part in schema.get("properties", {}).items():
        reference = part.get("$ref")
        if reference:
            found |= keys(whole["$defs"][reference.rpartition("/")[2]], whole, f"{prefix}{name}.")
        else:
            found.add(prefix + name)
    return found


def has(content: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def test_the_schema_is_the_one_that_the_package_prints(hope_command: Any) -> None:
    assert hope_command("schema").stdout == SCHEMA.read_text(encoding="utf-8")


def test_the_default_study_compares_three_seeds_of_rope_and_hope() -> None:
    study = load_study([BASE])
    assert {"rope", "hope", "none", "alibi"} <= set(study.encodings)
    runs = [name for name, _ in study.runs()]
    assert runs.count("rope") == runs.count("hope") == 3


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_is_right_and_keeps_its_results_apart(preset: Path) -> None:
    study = load_study([BASE, preset])
    assert study.study == preset.stem
    # As an editor checks it, with the schema alone.
    merged = merge(read(BASE), read(preset))
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(merged)


def test_no_two_presets_share_a_study() -> None:
    names = [read(path)["study"] for path in [BASE, *PRESETS]]
    assert len(set(names)) == len(names)


def test_the_schema_refuses_what_the_config_refuses() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert validator.is_valid(read(BASE))
    for over in ({"trainig": {}}, {"training": {"tokens": "many"}}, {"model": {"layers": 0}}):
        assert not validator.is_valid(merge(read(BASE), over))


def test_the_default_config_has_every_key_once_with_a_comment() -> None:
    content, schema = read(BASE), json.loads(SCHEMA.read_text(encoding="utf-8"))
    missing = {key for key in keys(schema, schema) if not has(content, key)}
    assert not missing
    lines = BASE.read_text(encoding="utf-8").splitlines()
    bare = []
    for number, line in enumerate(lines):
        if not re.match(r" *\w+:", line):
            continue
        above = lines[number - 1].strip().startswith("#")
        # A section speaks through its keys, and what needs no word is what its name says whole.
        section = line.rstrip().endswith(":")
        if "#" not in line and not above and not section:
            bare.append(line.strip())
    assert bare == ["layers: 4"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("encoding: [rope]", "unknown key 'encoding' (did you mean 'encodings'?)"),
        ("encodings: [hop]", "'hop' is no encoding (did you mean 'hope'?)"),
        ("training: {learning_rate: 3e-3}", "write 3.0e-3 or 0.003"),
        ("training: {tokens: 1.5}", "training.tokens"),
        ("model: {width: 100}", "width 100 is no multiple of heads 3"),
        ("[a", "not valid YAML"),
        ("- a", "expected 'key: value' lines"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(tmp_path: Path, content: str, line: str) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_study([BASE, overlay])
    assert line in str(error.value)
    assert "mine.yaml" in str(error.value)
    assert "\n" not in str(error.value)
