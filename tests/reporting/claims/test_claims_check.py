"""The claims file: its mistakes, and what is checked of it before anything runs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hope.cli import main
from hope.config import MAIN, load_study
from hope.errors import UserError
from hope.measures import MEASURES, QUALIFIERS
from hope.reporting.claims_check import check_claims, checked_claims, unanswered
from hope.reporting.claims_file import Claim, ClaimsFile, Part, UnmeasuredPart, load_claims
from tests.reporting.claims.judging import COPY, EXACT, FEW_SHOT, PAST, SHIPPED, WITHIN, claim
from tests.reporting.make_study import settings, with_retrieval

ROOT = Path(__file__).parents[3]
PRESETS = sorted((ROOT / "workflow" / "presets").glob("*.yaml"))


def read(folder: Path, *claims: dict, **more: Any) -> ClaimsFile:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": list(claims), **more}))
    return load_claims(path)


def side(measure: str, encoding: str = "hope", **qualifiers: Any) -> dict:
    treatment = {"encoding": encoding, "measure": measure, **qualifiers}
    return {**PAST, "treatment": treatment, "baseline": {"constant": 0.0}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, p: p.update(margn=1.0), "claims.1.parts.past.margn'.*did you mean 'margin'"),
        (lambda c, p: p.pop("direction"), "key 'claims.1.parts.past.direction' is missing"),
        (lambda c, p: p.update(smallest_effect=-1.0), "claims.1.parts.past.smallest_effect"),
        (lambda c, p: p.update(margin=0.1), "takes smallest_effect, and no margin"),
        (lambda c, p: p.update(kind="non_inferiority"), "takes margin, and no smallest_effect"),
        (lambda c, p: p.update(direction="equal"), "direction 'equal' is for kind 'exact'"),
        (lambda c, p: p["treatment"].update(measure="octave_los"), "no measure.*did you mean 'octave_loss'"),
        (
            lambda c, p: p.update(baseline={"encoding": "rope", "measure": "loss_2L_4L@yarn-4"}),
            "claims.1.parts.past.baseline.*'loss_2L_4L@yarn-4' is no measure any more; write "
            "{encoding: rope, measure: octave_loss, multiple: 4, extension: yarn-4}",
        ),
        (lambda c, p: p["treatment"].update(depth=0.5), "'octave_loss' takes no depth, but multiple and ext"),
        (lambda c, p: p["treatment"].pop("multiple"), "'octave_loss' needs multiple"),
        (
            lambda c, p: p.update(
                treatment={"encoding": "rope", "measure": "index_change", "intervention": "melt", "components": "slow"}
            ),
            "intervention: 'melt' is none of freeze, mean, remove",
        ),
        (lambda c, p: p.update(treatment={"constant": 1.0}), "give an encoding and a measure"),
        (lambda c, p: p.update(baseline={"encoding": "rope"}), "give an encoding and a measure"),
        (lambda c, p: p.update(not_measured="no task"), "claims.1.parts.past"),
        (lambda c, p: p.update(decides=False), "no part decides"),
        (lambda c, p: c["parts"].append(p), "two parts have the same id"),
        (lambda c, p: c.update(parts=[]), "claims.1.parts: expected a list of parts"),
        (lambda c, p: c.update(titel="x"), "unknown key 'claims.1.titel'.*did you mean 'title'"),
        (lambda c, p: c.update(source="rumour"), "claims.1.source"),
        (lambda c, p: p.update(COPY, informative=None), "copy accuracy at L has a floor and a ceiling; give informa"),
        (
            lambda c, p: p.update(COPY, pilot={"seeds": [1000], "level": 0.99}),
            "pilot.level 0.99 lies outside informative, 0.1 to 0.95",
        ),
        (lambda c, p: p.update(COPY, pilot={"seeds": [], "level": 0.5}), "claims.1.parts.copy.pilot.seeds"),
        (
            lambda c, p: p.update(
                COPY, informative={"lowest": 0.1, "highest": 0.98}, pilot={"seeds": [7], "level": 0.96}
            ),
            "pilot.level 0.96 leaves no room for an effect of smallest_effect 0.05",
        ),
        (lambda c, p: p.update(kind="exact"), "kind 'exact' is for measures that follow from formulas"),
    ],
)
def test_a_mistake_in_the_claims_is_one_line_that_names_the_key(tmp_path, change, message):
    content = json.loads(json.dumps(claim(PAST)))
    change(content, content["parts"][0])
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / 'claims.yaml'}: ")
    assert "\n" not in str(caught.value)


def test_a_file_without_claims_is_one_line(tmp_path):
    path = tmp_path / "claims.yaml"
    with pytest.raises(UserError, match="no such claims file"):
        load_claims(path)
    for text in ("claims: [", "claims: 3", "claims: []", "", "- 1", "claims: [1]", "other: []"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"claims\.yaml: (expected|not valid YAML)") as caught:
            load_claims(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="two claims have this id"):
        read(tmp_path, claim(PAST), claim(PAST))


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (claim(side("loss_within", "hop")), "claims.1.parts.past.treatment.encoding: 'hop' is no encoding.*'hope'"),
        (
            claim({**PAST, "baseline": {"encoding": "roppe", "measure": "loss_within"}}),
            "claims.1.parts.past.baseline.encoding: 'roppe' is no encoding.*did you mean 'rope'.*'encodings'",
        ),
        (claim(PAST, covers=["hoppe"]), "claims.1.covers: 'hoppe' is no encoding"),
        (
            claim({**COPY, "treatment": {**COPY["treatment"], "task": "coppy"}}),
            "claims.1.parts.copy.treatment.task: 'coppy' is no retrieval task.*did you mean 'copy'",
        ),
        (
            claim({**COPY, "pilot": {"seeds": [1000, 1], "level": 0.5}}),
            "claims.1.parts.copy.pilot.seeds: the study uses seed 1 too",
        ),
        (claim(WITHIN, arm="txt"), r"claims.1.arm: 'txt' is no arm \(did you mean 'text'\?\).*the list 'arms' of this"),
        (claim(WITHIN, {**PAST, "arm": "txet"}), "claims.1.parts.past.arm: 'txet' is no arm"),
        (claim(WITHIN, arm="retrieva"), r"claims.1.arm: 'retrieva' is no arm \(did you mean 'retrieval'\?\)"),
        ({key: value for key, value in claim(WITHIN).items() if key != "arm"}, "claims.1.arm: 'main' is no arm"),
    ],
)
def test_an_unknown_name_and_a_pilot_used_as_evidence_are_one_line(tmp_path, stated, message):
    with pytest.raises(UserError, match=message) as caught:
        check_claims(read(tmp_path, stated, arms=["retrieval"]), settings({"rope": 3, "hope": 3}), tmp_path / "c.yaml")
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


def test_names_of_other_studies_are_listed(tmp_path):
    theirs = side("loss_within", "rope-text")
    study = settings({"rope": 2, "hope": 2})
    check_claims(read(tmp_path, claim(theirs), encodings=["rope-text"]), study, tmp_path)
    defined = settings({"rope": 2, "rope-text": 2}, definitions={"rope-text": {"family": "rope", "text_only": True}})
    check_claims(read(tmp_path, claim(theirs)), defined, tmp_path)
    with pytest.raises(UserError, match="unknown key 'encoding'.*did you mean 'encodings'"):
        read(tmp_path, claim(theirs), encoding=["rope-text"])


def test_the_parts_that_a_study_must_leave_open(tmp_path):
    study = settings(
        {"rope": 3, "hope": 3, "none": 1}, retrieval={"tasks": ["copy", "needle"], "multiples": [0.25, 1.0]}
    )
    needle = {**COPY, "informative": COPY["informative"]}
    for stated, reason in (
        (side("octave_loss", multiple=4.0), ""),
        (side("loss_past"), ""),
        (side("octave_loss", multiple=3.0), "loss from 1.5L to 3L needs 3 in the octaves up to extrapolation.longest"),
        (side("octave_loss", multiple=32.0), "needs 32 in the octaves"),
        (side("context_loss", multiple=4.0), ""),
        (side("context_gain", multiple=3.0), "context gain at 3L needs 3 in extrapolation.contexts"),
        (side("octave_loss", multiple=4.0, extension="yarn-4"), ""),
        (
            side("octave_loss", multiple=4.0, extension="linear-2"),
            "loss from 2L to 4L, linear-2 needs 'linear-2' in extrapolation.extensions",
        ),
        (side("strided_loss"), "loss in sliding windows needs extrapolation.strided"),
        (side("divergence", multiple=8.0), "needs 8 in analysis.multiples"),
        (side("margin", task="copy", multiple=0.25), ""),
        (side("margin", task="copy", multiple=3.0), "needs 3 in retrieval.multiples"),
        (side("margin", task="mqar", multiple=1.0), "needs 'mqar' in retrieval.tasks"),
        (needle | side("exact", task="needle", multiple=1.0, depth=0.5), ""),
        (needle | side("exact", task="needle", multiple=1.0, depth=0.55), "needs 0.55 in the depths of needle"),
        (side("loss_within", "alibi"), "the study has no models of alibi in the arm text"),
        (side("loss_within", "none"), "a single seed of none cannot tell"),
        ({**EXACT, "treatment": {"encoding": "none", "measure": "kernel_far"}}, ""),
        ({**side("loss_within", "alibi"), "decides": False}, ""),
        ({**side("loss_within", "alibi"), "elsewhere": "a study with it."}, ""),
        (side("loss_within_change", intervention="remove", components="slow"), ""),
    ):
        lines = list(unanswered(read(tmp_path, claim({**WITHIN, "id": "sound"}, stated, FEW_SHOT)), study))
        assert len(lines) == (1 if reason else 0), stated
        assert not lines or (lines[0].startswith("claim 1 (A claim) stays open: part ") and reason in lines[0])


def test_parts_on_an_arm_that_the_study_lacks_or_that_has_no_text(tmp_path):
    seeds = {"rope": 3, "hope": 3}
    beside, elsewhere = {**PAST, "id": "beside", "decides": False}, {**PAST, "elsewhere": "run that one."}
    lacking = claim(PAST, beside, id="2", title="Elsewhere", arm="retrieval")
    stated = read(tmp_path, claim(WITHIN), lacking, claim(elsewhere, id="3", arm="retrieval"), arms=["retrieval"])
    check_claims(stated, settings(seeds), tmp_path / "claims.yaml")
    assert list(unanswered(stated, settings(seeds))) == [
        "claim 2 (Elsewhere) stays open: part past: the study has no arm retrieval",
    ]
    both = settings(seeds, arms=with_retrieval(seeds))
    recall = {**COPY, **side("accuracy", task="recall", multiple=1.0), "id": "recall"}
    learned = {**side("tokens_to_learn"), "id": "learned"}
    of_tasks = read(tmp_path, claim(WITHIN, recall, learned, arm="retrieval"), claim(WITHIN, id="2"))
    assert list(unanswered(of_tasks, both)) == [
        "claim 1 (A claim) stays open: part within: loss within L is not measured in the arm retrieval",
    ]


def test_a_study_whose_config_names_no_arms_reads_of_none(tmp_path):
    seeds = {"rope": 3, "hope": 3}
    both = settings(seeds, arms=with_retrieval(seeds))
    study = both.model_copy(update={"arms": {MAIN: both.arms["retrieval"]}})
    of_alibi = side("tokens_to_learn", "alibi")
    stated = [claim(part, id=id, arm=MAIN) for id, part in (("1", WITHIN), ("2", of_alibi))]
    lines = list(unanswered(read(tmp_path, *stated), study))
    assert [line.split("stays open: ")[1] for line in lines] == [
        "part within: loss within L is not measured",
        "part past: the study has no models of alibi",
    ]


def test_shipped_claims_fit_every_shipped_study_and_the_default_one_answers_them(monkeypatch):
    monkeypatch.chdir(ROOT)
    for preset in PRESETS:
        checked_claims(load_study([ROOT / "config.yaml", preset]))
    assert list(unanswered(load_claims(SHIPPED), load_study([ROOT / "config.yaml"]))) == []


def test_every_key_is_documented():
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    keys = [key for section in (ClaimsFile, Claim, Part, UnmeasuredPart) for key in section.model_fields]
    for key in [*keys, *QUALIFIERS]:
        assert f"`{key}`" in text, key
    table = text.split("| measure | takes | what it is |\n|---|---|---|\n")[1].split("\n\n")[0]
    for row in table.splitlines():
        names, takes = (re.findall(r"`(\w+)`", cell) for cell in row.split("|")[1:3])
        assert names and all(list(MEASURES[name].takes) == takes for name in names), row


def test_check_reads_the_claims_and_warns_of_those_that_must_stay_open(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    overlay = tmp_path / "mine.yaml"
    stated = {"study": "mine", "seeds": {"per_encoding": {"rope": 1, "hope": 1}}}
    overlay.write_text(yaml.safe_dump(stated))
    assert main(["check", "--configfile", str(overlay)]) == 0
    output = capsys.readouterr().out
    assert "warning: claim 7 (No price in the window) stays open: part within: a single seed of hope and rope" in output
    assert "warning: claim 4" not in output and "the config is right" in output
    (tmp_path / "claims.yaml").write_text("claims: []")
    overlay.write_text(yaml.safe_dump({**stated, "claims": str(tmp_path / "claims.yaml")}))
    assert main(["check", "--configfile", str(overlay)]) == 1
    assert "claims.yaml: expected a key 'claims'" in capsys.readouterr().err
