"""The default study, and ``config.yaml``, its text: every setting with its description as a comment."""

import re
import textwrap
from typing import Any

import yaml
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from hope.config.arm import Arm, Seeds
from hope.config.measures import Extrapolation, Retrieval
from hope.config.study import COMPLETE, FORMAT_KEY, Study, resolve
from hope.config.training import Model, Training
from hope.section import Section

STUDY = "default"
ALL_ARMS = Arm(
    encodings=["rope", "hope", "none", "alibi"],
    seeds=Seeds(count=3),
    model=Model(layers=2),
    training=Training(tokens=1_200_000, learning_rate=6e-3),
    extrapolation=Extrapolation(longest=8, contexts=[0.5, 1.0, 2.0, 4.0, 8.0]),
    retrieval=Retrieval(tasks=[]),
)
"""Settings of the default study for all of its arms; other fields have their defaults."""

ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": (
        "Language models: loss within and past the training length, and analysis of the attention.",
        {"encodings": ["rope", "hope"]},
    ),
    "retrieval": (
        "Small models trained on tasks alone: retrieval from the context, within and past the training length. "
        "Training begins with repetition, which makes the other tasks learnable (docs/tasks.md has the pilots).",
        {
            "trained_on": "tasks",
            "seeds": {"per_encoding": {"rope": 5, "hope": 5}},
            "model": {"width": 64, "heads": 2, "mlp_width": 128},
            "training": {
                "length": 64,
                "tokens": 1_536_000,
                "batch_windows": 32,
                "learning_rate": 3e-3,
                "warmup_steps": 50,
                "betas": [0.9, 0.98],
                "snapshots": 0,
            },
            "mixture": {
                "tasks": {"repeat": 1.0, "recall": 1.0, "decoy": 1.0, "few_shot": 1.0, "mqar": 1.0},
                "multiples": [1.0],
                "lead_in": {"share": 0.4, "tasks": {"repeat": 1.0}},
            },
            "tasks": {
                "repeat": {"longest_period": 32},
                "recall": {"alphabet": 32, "filler": 8},
                "decoy": {"asked": "either", "recent": None, "questions": 8, "filler": 8},
                "few_shot": {"alphabet": 32, "filler": 8},
                "mqar": {"pairs": 8, "alphabet": 32, "filler": 8},
                "definitions": {
                    "repeat_far": {"task": "repeat", "settings": {"longest_period": None}},
                    "decoy_recent": {"task": "decoy", "settings": {"asked": "first", "recent": 4, "questions": 1}},
                    "mqar_many": {"task": "mqar", "settings": {"pairs": 16}},
                },
            },
            "retrieval": {
                "tasks": ["repeat", "repeat_far", "recall", "decoy_recent", "few_shot", "mqar_many"],
                "multiples": [0.25, 0.5, 1.0, 2.0, 4.0, 8.0],
                "prompts": 128,
            },
        },
    ),
}
"""The arms of the default study: what each is for, and what it lays over :data:`ALL_ARMS`."""

HEADER = """\
# yaml-language-server: $schema=workflow/schemas/config.schema.json
#
# The default study: two CPU cores, no download. `make schema` generates this file from hope/config.
#
# An overlay, given with --configfile, changes single keys: maps merge, lists and values replace. Give every overlay its
# own `study`, or it overwrites the results of this one. `python -m hope check` checks a config and runs nothing.
# Values marked (ours) are this project's choice: the paper's value is not known here.
"""
ARMS_COMMENT = (
    "Arms: groups of models that share everything but the encoding and the seed. The keys under an arm's name are laid "
    "over the keys above; null drops the arm. Without arms there is one, `main`. The top level of an overlay applies "
    "to every arm."
)
WIDTH = 120


def default_yaml() -> str:
    """Return the content of ``config.yaml``."""
    of_study = {name: field for name, field in Study.model_fields.items() if name != "arms"}
    rest = {name: field.default for name, field in of_study.items() if name != "study"}
    return "".join(
        [
            HEADER,
            _paragraph(_field(of_study["study"], "study", STUDY, depth=0, all_keys=True)),
            as_yaml(ALL_ARMS),
            _paragraph(_arms()),
            *(_paragraph(_field(of_study[name], name, value, depth=0, all_keys=True)) for name, value in rest.items()),
        ]
    )


def default_study() -> Study:
    """Return the study that ``config.yaml`` describes, as it is without changes."""
    return resolve([("config.yaml", yaml.safe_load(default_yaml()))])


def _arms() -> list[str]:
    """Return the lines of the arms, each below its purpose."""
    lines = [f"# {text}" for text in textwrap.wrap(ARMS_COMMENT, WIDTH - 2)]
    lines.append("arms:")
    for name, (purpose, over) in ARMS.items():
        lines += [f"  # {text}" for text in textwrap.wrap(purpose, WIDTH - 4)]
        lines += textwrap.indent(_dump({name: over}, default_flow_style=None), "  ").splitlines()
    return lines


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of a config file, with which an editor checks it and completes keys."""
    of_arm, of_study = (kind.model_json_schema(by_alias=True) for kind in (Arm, Study))
    definitions = of_study["$defs"] | of_arm["$defs"]
    definitions["Arm"] = {
        "type": "object",
        "description": "Keys of one arm, laid over the top level; null drops the arm.",
        "properties": of_arm["properties"],
        "additionalProperties": False,
    }
    arms = {"additionalProperties": {"anyOf": [{"$ref": "#/$defs/Arm"}, {"type": "null"}]}, "type": "object"}
    alone = {"type": "boolean", "default": False, "description": "true: laid over no other file, like study.json"}
    of_folder = {"type": "integer", "description": "format of the results folder; written into its study.json"}
    own = {COMPLETE: alone, FORMAT_KEY: of_folder, "arms": arms | {"description": ARMS_COMMENT}}
    properties = of_study["properties"] | own | of_arm["properties"]
    return {
        "$defs": definitions,
        "type": "object",
        "title": "Study",
        "description": (Study.__doc__ or "").strip(),
        "properties": properties,
        "required": ["study", "encodings"],
        "additionalProperties": False,
    }


def as_yaml(section: Section) -> str:
    """Return a section as YAML: all of its keys, with their descriptions as comments.

    The docstring of a section describes it; examples of a field stand above it as comments. Entries of maps and lists
    have only the keys that are set.
    """
    return "".join(map(_paragraph, _fields(section, depth=0, all_keys=True)))


def _paragraph(lines: list[str]) -> str:
    return "\n".join(["", *lines, ""])


def _fields(section: Section, depth: int, all_keys: bool) -> list[list[str]]:
    """Return the lines of each field, indented by ``depth`` levels."""
    return [
        _field(field, field.alias or name, getattr(section, name), depth, all_keys)
        for name, field in type(section).model_fields.items()
        if all_keys or name in section.model_fields_set
    ]


def _field(field: FieldInfo, key: str, value: Any, depth: int, all_keys: bool) -> list[str]:
    """Return the lines of a field: its comment, its examples, its key and its value."""
    line, *below = _entry(key, value, depth, all_keys)
    comment, is_section = field.description or "", isinstance(value, Section)
    if is_section and not comment:
        comment = " ".join((type(value).__doc__ or "").split())
        if depth > 0:
            comment = re.sub(r"^[A-Z][a-z]*\b", lambda word: word[0].lower(), comment).rstrip(".")
    if not comment:
        return [line, *below]
    examples = [text for example in field.examples or [] for text in _example(field, key, example)]
    inline = f"{line} # {comment}"
    if len(inline) <= WIDTH and not examples and not (is_section and depth == 0):
        return [inline, *below]
    margin = "  " * depth
    above = textwrap.wrap(f"{comment}; for example" if examples else comment, WIDTH - len(f"{margin}# "))
    return [*(f"{margin}# {text}" for text in [*above, *examples]), line, *below]


def _example(field: FieldInfo, key: str, example: Any) -> list[str]:
    """Return the lines of a field with an example as its value."""
    annotation: Any = field.annotation
    return _entry(key, TypeAdapter(annotation).validate_python(example), depth=1, all_keys=False)


def _entry(key: str, value: Any, depth: int, all_keys: bool) -> list[str]:
    """Return the line of a key with its value, or followed by the lines of the value."""
    line, plain = f"{'  ' * depth}{key}:", _plain(value)
    if isinstance(value, Section) and (all_keys or value.model_fields_set):
        below = [text for lines in _fields(value, depth + 1, all_keys) for text in lines]
    elif isinstance(value, dict) and any(isinstance(entry, Section) for entry in value.values()):
        below = [text for name, entry in value.items() for text in _entry(name, entry, depth + 1, all_keys=False)]
    else:
        below = []
    if below:
        return [line, *below]
    flow = f"{line} {_dump([plain], default_flow_style=True)[1:-1]}"
    if len(flow) <= WIDTH or not plain or not isinstance(plain, dict | list):
        return [flow]
    return [line, *textwrap.indent(_dump(plain, default_flow_style=None), "  " * (depth + 1)).splitlines()]


def _plain(value: Any) -> Any:
    """Return a value with sections as dicts of the keys that are set."""
    if isinstance(value, Section):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _dump(plain: Any, default_flow_style: bool | None) -> str:
    """Return YAML without line breaks within a value."""
    return yaml.safe_dump(plain, default_flow_style=default_flow_style, sort_keys=False, width=float("inf")).strip()
