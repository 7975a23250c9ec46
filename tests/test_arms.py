"""Arms: what a file says for all of them, for one, and for none."""

import json
from typing import Any

import pytest
import yaml

from hope.config import MAIN, Study, as_config, from_json, load_study, parse_study, to_json
from hope.config.study import resolve
from hope.errors import UserError
from tests.conftest import ROOT

BASE = ROOT / "config.yaml"
ONE: dict[str, Any] = {"study": "x", "encodings": ["rope"]}


def study_of(*contents: dict[str, Any]) -> Study:
    """Return the study that these contents describe, each laid over those before it."""
    return resolve((f"{number}.yaml", content) for number, content in enumerate(contents))


def test_a_config_without_arms_has_one_and_an_arm_lays_its_part_over_the_top_level():
    assert list(study_of(ONE).arms) == [MAIN] and study_of(ONE).runs() == [(MAIN, "rope", 0)]
    study = study_of(ONE | {"model": {"layers": 3}, "arms": {"a": {"model": {"width": 48}}, "b": None, "c": {}}})
    assert list(study.arms) == ["a", "c"]
    assert [(arm.model.layers, arm.model.width) for arm in study.arms.values()] == [(3, 48), (3, 96)]


def test_a_later_file_reaches_all_arms_by_its_top_level_and_one_by_its_name():
    first = ONE | {"arms": {"a": {"training": {"length": 256}}, "b": {"encodings": ["hope"]}}}
    later = {"encodings": ["rope", "none"], "training": {"length": 512}, "arms": {"b": {"seeds": {"count": 2}}}}
    arms = study_of(first, later).arms.values()
    assert [arm.encodings for arm in arms] == [["rope", "none"]] * 2
    assert [(arm.training.length, arm.seeds.count) for arm in arms] == [(512, 1), (512, 2)]
    again = study_of(first, {"arms": {"a": None}}, {"arms": {"a": {"seeds": {"count": 2}}}})
    assert again.arms["a"].seeds.count == 2, "an arm that was dropped may be named again"


def test_the_overlays_of_the_readme_reach_every_arm():
    over = {"study": "mine", "encodings": ["rope", "hope", "alibi"], "definitions": {"r": {"family": "rope"}}}
    study = load_study([BASE], over)
    assert {tuple(arm.encodings) for arm in study.arms.values()} == {("rope", "hope", "alibi")}
    corpus = {"source": "files", "files": {"paths": [str(BASE)]}}
    assert {arm.corpus.source for arm in load_study([BASE], {"corpus": corpus}).arms.values()} == {"files"}


def test_adding_an_arm_moves_nothing_in_the_others_and_arms_that_read_the_same_share_their_data():
    before = load_study([BASE])
    arms = {"more": {"model": {"layers": 1}}, "other": {"tokens": {"vocabulary": 512}}}
    after = load_study([BASE], {"arms": arms})
    assert list(after.arms) == [*before.arms, *arms]
    for name, arm in before.arms.items():
        assert to_json(after.arms[name]) == to_json(arm)
    keys = {name: arm.data_key for name, arm in after.arms.items()}
    assert keys["more"] == keys["text"] != keys["other"]
    assert keys["retrieval"] == "symbols-40"


@pytest.mark.parametrize(
    ("over", "line"),
    [
        ({"arms": {"text": {"trainig": {}}}}, "unknown key 'arms.text.trainig' (did you mean 'training'?)"),
        ({"arms": {"text": {"training": {"lenght": 8}}}}, "unknown key 'arms.text.training.lenght'"),
        ({"arms": {"text": {"encodings": ["roep"]}}}, "arms.text: encodings: 'roep' is no encoding"),
        ({"arms": {"text": None, "retrieval": None}}, "arms: all are dropped; keep or add one"),
        ({"arms": {"text": {"tracking": {}}}}, "arms.text.tracking: applies to the whole study; move it to the top"),
        ({"arms": ["text"]}, "arms: expected a map of arms"),
        ({"arms": {"a/b": {}}}, "arms: 'a/b' must be letters, digits"),
        (
            {"arms": {"retrieval": {"retrieval": {"tasks": ["passkey"]}}}},
            "arms.retrieval: retrieval.tasks: 'passkey' makes its prompts from text, but an arm that is trained",
        ),
        (
            {"arms": {"retrieval": {"mixture": {"tasks": {"needle": 1.0}}}}},
            "arms.retrieval: mixture.tasks: 'needle' makes its prompts from text",
        ),
        (
            {"arms": {"retrieval": {"encodings": ["t"], "definitions": {"t": {"family": "rope", "text_only": True}}}}},
            "arms.retrieval: definitions.t.text_only: an arm that is trained on tasks alone has no text",
        ),
        ({"arms": {"more": {"trained_on": "tasks"}}}, "arms.more: trained_on is tasks, but mixture.tasks is empty"),
        (
            {
                "arms": {
                    "text": {"encodings": ["r"], "definitions": {"r": {"family": "rope"}}},
                    "retrieval": {"encodings": ["r"], "definitions": {"r": {"family": "hope"}}},
                }
            },
            "arms.retrieval.definitions.r: its family is 'hope', but 'rope' in text",
        ),
        (
            {"retrieval": {"tasks": ["recall"]}, "tasks": {"recall": {"alphabet": 2040}}},
            "arms.text: retrieval.tasks: 'recall' draws from 2072 distinct tokens, but tokens.vocabulary leaves 2044",
        ),
        ({"model": {"width": 97}}, "model: width 97 is no multiple of heads"),
    ],
)
def test_a_mistake_in_an_arm_is_one_line_that_names_it(over, line):
    with pytest.raises(UserError) as caught:
        load_study([BASE], over)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_a_resolved_study_is_a_config_that_needs_no_other(tmp_path):
    over = {"arms": {"retrieval": {"mixture": {"lead_in": None}, "tasks": {"recall": {"filler": 32}}}, "text": None}}
    study = load_study([BASE], over)
    path = tmp_path / "study.json"
    path.write_text(json.dumps(as_config(study)))
    assert load_study([BASE, path]) == study == parse_study(json.loads(path.read_text()), "study.json")
    # What comes behind it is laid over it.
    assert load_study([BASE, path], {"seeds": {"first": 7}}).arms["retrieval"].seeds.first == 7
    as_yaml = tmp_path / "study.yaml"
    as_yaml.write_text(yaml.safe_dump(as_config(study)))
    assert load_study([BASE, as_yaml]) == study
    assert from_json(Study, to_json(study)) == study
