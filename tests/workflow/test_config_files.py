"""Every config and overlay that is shipped is right, and says what it means."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hope.config import load_study, merge
from hope.config.default import ALL_ARMS, STUDY
from hope.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "config.yaml"
PRESETS = sorted((ROOT / "workflow" / "presets").glob("*.yaml"))
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"


def read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_the_schema_is_the_one_that_the_package_prints(hope_command: Any) -> None:
    assert hope_command("schema").stdout == SCHEMA.read_text(encoding="utf-8")


def test_the_default_config_is_the_one_that_the_package_prints(hope_command: Any) -> None:
    assert hope_command("defaults").stdout == BASE.read_text(encoding="utf-8")
    study = load_study([BASE])
    assert study.study == STUDY
    # What the file says for all arms is what stands in the package, where an arm does not say otherwise.
    for key in ("corpus", "tokens", "analysis", "extrapolation"):
        assert {getattr(arm, key).model_dump_json() for arm in study.arms.values()} == {
            getattr(ALL_ARMS, key).model_dump_json()
        }


def test_the_default_study_has_the_seeds_that_its_claims_need() -> None:
    runs = Counter((run.arm, run.encoding) for run in load_study([BASE]).runs())
    wanted = {("text", "rope"): 3, ("text", "hope"): 3, ("retrieval", "rope"): 5, ("retrieval", "hope"): 5}
    assert runs == wanted | {("retrieval", "none"): 3, ("retrieval", "alibi"): 3}


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


def test_every_key_of_the_default_config_has_a_comment() -> None:
    whole = BASE.read_text(encoding="utf-8").splitlines()
    # What an arm lays over the keys above it, which are described there, needs no comment.
    begin = whole.index("arms:")
    end = next(number for number in range(begin + 1, len(whole)) if not whole[number])
    lines = whole[: begin + 1] + whole[end:]
    keys = [(number, line) for number, line in enumerate(lines) if re.match(r" *\w+:", line)]
    bare = [line for number, line in keys if "#" not in line and "#" not in lines[number - 1]]
    assert len(keys) > 100 and not bare


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
