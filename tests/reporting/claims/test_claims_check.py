"""What is told of the claims before anything runs."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hope.cli import main
from hope.config import load_study
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
    ],
)
def test_name_that_means_nothing_and_pilot_that_is_evidence_are_one_line(tmp_path, stated, message):
    with pytest.raises(UserError, match=message) as caught:
        check_claims(read(tmp_path, stated), settings({"rope": 3, "hope": 3}), tmp_path / "claims.yaml")
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"informative": None}, "copy accuracy at L has a floor and a ceiling; give informative"),
        ({"pilot": {"seeds": [1000], "level": 0.99}}, "pilot.level 0.99 lies outside informative, 0.1 to 0.95"),
        ({"pilot": {"seeds": [], "level": 0.5}}, "claims.1.parts.copy.pilot.seeds"),
        ({"pilot": {"seed": 1, "level": 0.5}}, "unknown key.*pilot.seed'.*did you mean 'seeds'"),
        (
            {"treatment": {"encoding": "hope", "measure": "copy_accuracy_1.0L"}},
            "write {encoding: hope, measure: accuracy, task: copy, multiple: 1}",
        ),
    ],
)
def test_endpoint_that_cannot_tell_is_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, claim({**COPY, **changes}))


def test_names_of_other_studies_are_listed(tmp_path):
    theirs = side("loss_within", "rope-text")
    study = settings({"rope": 2, "hope": 2})
    with pytest.raises(UserError, match="rope-text"):
        check_claims(read(tmp_path, claim(theirs)), study, tmp_path)
    check_claims(read(tmp_path, claim(theirs), encodings=["rope-text"]), study, tmp_path)
    defined = settings({"rope": 2, "rope-text": 2}, definitions={"rope-text": {"family": "rope", "text_only": True}})
    check_claims(read(tmp_path, claim(theirs)), defined, tmp_path)
    with pytest.raises(UserError, match="unknown key 'encoding'.*did you mean 'encodings'"):
        read(tmp_path, claim(theirs), encoding=["rope-text"])


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (claim(WITHIN, arm="txt"), r"claims.1.arm: 'txt' is no arm \(did you mean 'text'\?\).*the list 'arms' of this"),
        (
            claim(WITHIN, {**PAST, "arm": "txet"}),
            r"claims.1.parts.past.arm: 'txet' is no arm \(did you mean 'text'\?\)",
        ),
        (claim(WITHIN, arm="retrieva"), r"claims.1.arm: 'retrieva' is no arm \(did you mean 'retrieval'\?\)"),
        (claim({**WITHIN, "decides": False}, PAST, arm="zzz"), "claims.1.arm: 'zzz' is no arm; a name that another"),
        ({key: value for key, value in claim(WITHIN).items() if key != "arm"}, "claims.1.arm: 'main' is no arm"),
    ],
)
def test_arm_that_means_nothing_is_one_line_with_the_nearest_name(tmp_path, stated, message):
    found = read(tmp_path, stated, arms=["retrieval"])
    with pytest.raises(UserError, match=message) as caught:
        check_claims(found, settings({"rope": 3, "hope": 3}), tmp_path / "claims.yaml")
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


def test_claim_on_an_arm_that_the_study_lacks_is_one_line_of_warning(tmp_path):
    study = settings({"rope": 3, "hope": 3})
    beside = {**PAST, "id": "beside", "decides": False}
    stated = [claim(WITHIN), claim(PAST, beside, id="2", title="Elsewhere", arm="retrieval")]
    found = read(tmp_path, *stated, arms=["retrieval"])
    check_claims(found, study, tmp_path / "claims.yaml")
    assert list(unanswered(found, study)) == [
        "claim 2 (Elsewhere) stays open: part past: the study has no arm retrieval",
    ]
    told = claim({**PAST, "elsewhere": "run that one."}, id="2", arm="retrieval")
    assert list(unanswered(read(tmp_path, claim(WITHIN), told, arms=["retrieval"]), study)) == []


def test_what_an_arm_of_tasks_alone_cannot_answer_is_told_beforehand(tmp_path):
    study = settings({"rope": 3, "hope": 3}, arms=with_retrieval({"rope": 3, "hope": 3}))
    recall = {**COPY, **side("accuracy", task="recall", multiple=1.0), "id": "recall"}
    learned = {**side("tokens_to_learn"), "id": "learned"}
    found = read(tmp_path, claim(WITHIN, recall, learned, arm="retrieval"), claim(WITHIN, id="2"))
    assert list(unanswered(found, study)) == [
        "claim 1 (A claim) stays open: part within: loss within L is not measured in the arm retrieval",
    ]


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (side("octave_loss", multiple=4.0), ""),
        (side("loss_within"), ""),
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
        (side("context_loss", multiple=3.0, extension="yarn-4"), "needs 3 in extrapolation.contexts"),
        (side("strided_loss"), "loss in sliding windows needs extrapolation.strided"),
        (side("divergence", multiple=2.0), ""),
        (side("divergence", multiple=8.0), "needs 8 in analysis.multiples"),
        (side("margin", task="copy", multiple=0.25), ""),
        (side("margin", task="copy", multiple=3.0), "needs 3 in retrieval.multiples"),
        (side("margin", task="mqar", multiple=1.0), "needs 'mqar' in retrieval.tasks"),
        ({**COPY, **side("exact", task="needle", multiple=1.0, depth=0.5), "informative": COPY["informative"]}, ""),
        (
            {**COPY, **side("exact", task="needle", multiple=1.0, depth=0.55), "informative": COPY["informative"]},
            "needs 0.55 in the depths of needle",
        ),
        (side("loss_within", "alibi"), "the study has no models of alibi in the arm text"),
        (side("loss_within", "none"), "a single seed of none cannot tell"),
        ({**EXACT, "treatment": {"encoding": "none", "measure": "kernel_far"}}, ""),
        ({**side("loss_within", "alibi"), "decides": False}, ""),
        ({**side("loss_within", "alibi"), "elsewhere": "a study with it."}, ""),
        (side("loss_within_change", intervention="remove", components="slow"), ""),
    ],
)
def test_parts_that_a_study_must_leave_open_are_told_beforehand(tmp_path, stated, reason):
    study = settings(
        {"rope": 3, "hope": 3, "none": 1}, retrieval={"tasks": ["copy", "needle"], "multiples": [0.25, 1.0]}
    )
    found = read(tmp_path, claim({**WITHIN, "id": "sound"}, stated, FEW_SHOT))
    lines = list(unanswered(found, study))
    assert len(lines) == (1 if reason else 0)
    assert not lines or (lines[0].startswith("claim 1 (A claim) stays open: part ") and reason in lines[0])


@pytest.mark.parametrize("preset", [None, *PRESETS], ids=lambda path: path.stem if path else "default")
def test_shipped_claims_fit_every_shipped_study(preset, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = load_study([ROOT / "config.yaml", *([preset] if preset else [])])
    checked_claims(study)


def test_default_study_can_answer_every_claim():
    study = load_study([ROOT / "config.yaml"])
    assert list(unanswered(load_claims(SHIPPED), study)) == []


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
    told = capsys.readouterr().out
    assert "warning: claim 7 (No price in the window) stays open: part within: a single seed of hope and rope" in told
    assert "warning: claim 4" not in told and "the config is right" in told
    (tmp_path / "claims.yaml").write_text("claims: []")
    overlay.write_text(yaml.safe_dump({**stated, "claims": str(tmp_path / "claims.yaml")}))
    assert main(["check", "--configfile", str(overlay)]) == 1
    assert "claims.yaml: expected a key 'claims'" in capsys.readouterr().err
