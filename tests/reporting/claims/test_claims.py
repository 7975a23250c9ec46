import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from hope.errors import UserError
from hope.measures import known
from hope.reporting.claims import judge
from hope.reporting.claims_file import Part, load_claims
from hope.reporting.endpoints import write_endpoints
from hope.statistics import crossed_mean
from tests.reporting.claims.judging import (
    COPY,
    EXACT,
    FAR,
    FEW_SHOT,
    PAST,
    PAST_L,
    SHIPPED,
    WITHIN,
    WITHIN_L,
    claim,
    noise,
    one,
    verdicts,
    verdicts_of_arms,
)
from tests.reporting.make_study import RETRIEVAL, TEXT, Truth, settings, with_retrieval

NUMBERS = [str(number) for number in range(1, 11)]
OF_RETRIEVAL = ["5", "9", "10"]
"""The shipped claims, and those on the arm that is trained on tasks alone."""


@pytest.mark.parametrize(
    ("mean", "spread", "verdict", "words"),
    [
        (-0.2, 0.01, "supported", "reaches the 0.01"),
        (-0.2, 0.5, "inconclusive", "neither no effect nor one that counts"),
        (0.2, 0.01, "contradicted", "the other way"),
        (0.0, 0.001, "contradicted", "ruled out"),
        (-0.004, 0.0005, "contradicted", "below the 0.01 that counts"),  # significant and negligible
        (-0.009, 0.002, "inconclusive", "may or may not reach"),
        (-0.2, 0.0, "supported", "reaches"),
    ],
)
def test_superiority(tmp_path, mean, spread, verdict, words):
    found = one(tmp_path, PAST, noise(mean, spread))
    assert found["verdict"] == found["interval_verdict"] == verdict
    assert words in found["reason"]
    assert (found["p"] < 0.05) == (verdict != "inconclusive")


@pytest.mark.parametrize(
    ("mean", "spread", "verdict", "equivalent"),
    [
        (0.0, 0.001, "supported", True),
        (0.005, 0.001, "supported", True),  # worse, surely, and by less than the margin
        (-0.2, 0.01, "supported", False),  # much better: not equivalent, and not inferior
        (0.2, 0.01, "contradicted", False),
        (0.0, 0.2, "inconclusive", False),
        (0.015, 0.004, "inconclusive", False),
    ],
)
def test_non_inferiority(tmp_path, mean, spread, verdict, equivalent):
    found = one(tmp_path, WITHIN, noise(mean, spread))
    assert found["verdict"] == verdict
    assert found["equivalence"]["equivalent"] is equivalent
    assert (found["p"] < 0.05) == (verdict != "inconclusive")


@pytest.mark.parametrize("part", [PAST, WITHIN])
@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_direction_turns_everything_round(tmp_path, part, direction):
    difference = noise(-0.2 if direction == "lower" else 0.2, 0.01)
    good = one(tmp_path / "good", {**part, "direction": direction}, difference)
    bad = one(tmp_path / "bad", {**part, "direction": direction}, -difference)
    assert (good["verdict"], bad["verdict"]) == ("supported", "contradicted")
    assert good["estimate"] == pytest.approx(-bad["estimate"])
    assert good["low"] == pytest.approx(-bad["high"])


def test_numbers_are_those_of_the_crossed_estimate(tmp_path):
    difference = noise(-0.2, 0.05)
    found, oracle = one(tmp_path, PAST, difference), crossed_mean(difference)
    assert [found["low"], found["high"]] == pytest.approx(oracle.interval(0.95))
    assert (found["seeds"], found["units"], found["df"]) == (3, 6, pytest.approx(oracle.df()))
    assert found["estimate"] == pytest.approx(-0.2)
    assert found["p"] == found["holm_p"] == pytest.approx(oracle.p_value())
    assert found["percent"] == pytest.approx(100 * (np.exp(-0.2) - 1))
    assert (found["treatment_mean"], found["baseline_mean"]) == pytest.approx((3.8, 4.0))
    assert found["evidence"][0] == "evaluation/text/hope/seed0/extrapolation.parquet"
    assert "tables/endpoints.parquet" in found["evidence"]


def test_confidence_is_the_studys(tmp_path):
    difference = noise(-0.2, 0.05)
    found = one(tmp_path, PAST, difference)
    content = json.loads((tmp_path / "study.json").read_text())
    content["report"]["confidence"] = 0.8
    (tmp_path / "study.json").write_text(json.dumps(content))
    judge(tmp_path, tmp_path / "claims.yaml")
    narrow = json.loads((tmp_path / "claims.json").read_text())
    assert narrow["confidence"] == 0.8
    assert narrow["claims"][0]["high"] - narrow["claims"][0]["low"] < found["high"] - found["low"]


def test_single_seed_decides_nothing(tmp_path):
    found = one(tmp_path, PAST, noise(-0.2, 0.001, seeds=1), rope=1, hope=1)
    assert found["verdict"] == "inconclusive"
    assert "single seed" in found["reason"]
    assert found["estimate"] == pytest.approx(-0.2)
    assert (found["seeds"], found["low"], found["p"], found["holm_p"]) == (1, None, None, None)


def test_seeds_without_a_partner_do_not_count(tmp_path):
    values = {("hope", PAST_L): noise(3.8, 0.01, seeds=3), ("rope", PAST_L): noise(4.0, 0.01, seeds=1)}
    found = verdicts(tmp_path, [claim(PAST)], values, rope=1, hope=3)["claims"][0]
    assert (found["verdict"], found["seeds"]) == ("inconclusive", 1)


def test_encoding_that_the_study_lacks(tmp_path):
    found = verdicts(tmp_path, [claim(PAST)], {("rope", PAST_L): noise(4, 0.1)}, rope=3)["claims"][0]
    assert found["verdict"] == "inconclusive"
    assert found["reason"] == "The study has no models of hope in the arm text."
    assert found["estimate"] is None and found["covers"] == ["rope", "hope"]


def test_measure_that_the_study_lacks(tmp_path):
    found = verdicts(tmp_path, [claim(PAST)], {("rope", PAST_L): noise(4, 0.1)})["claims"][0]
    assert found["verdict"] == "inconclusive"
    assert "loss from 2L to 4L of hope was not measured" in found["reason"]


def test_claim_needs_all_its_parts(tmp_path):
    def judged(past: float, within: float) -> dict:
        values = {
            ("hope", PAST_L): noise(past, 0.002),
            ("rope", PAST_L): np.zeros((3, 6)),
            ("hope", WITHIN_L): noise(within, 0.002),
            ("rope", WITHIN_L): np.zeros((3, 6)),
        }
        return verdicts(tmp_path, [claim(PAST, WITHIN)], values)["claims"][0]

    assert judged(-0.2, 0.0)["verdict"] == "supported"
    open_one = judged(-0.2, 0.01)
    assert open_one["verdict"] == "inconclusive"
    assert open_one["settled_by"] == open_one["numbers_of"] == "within"
    against = judged(-0.2, 0.2)
    assert (against["verdict"], against["settled_by"]) == ("contradicted", "within")
    assert against["estimate"] == pytest.approx(0.2)
    assert [part["verdict"] for part in against["parts"]] == ["supported", "contradicted"]


def test_part_that_is_not_measured_keeps_a_claim_open_but_not_from_being_contradicted(tmp_path):
    zeros = np.zeros((3, 6))
    for mean, verdict in ((-0.2, "inconclusive"), (0.2, "contradicted")):
        values = {("hope", PAST_L): noise(mean, 0.002), ("rope", PAST_L): zeros}
        found = verdicts(tmp_path, [claim(PAST, FEW_SHOT)], values)["claims"][0]
        assert found["verdict"] == verdict
        assert found["numbers_of"] == "past"
    found = verdicts(tmp_path, [claim(FEW_SHOT)], {})["claims"][0]
    assert found["verdict"] == "inconclusive"
    assert found["reason"] == "Not measured here: there is no such task."


def test_part_whose_encodings_another_study_has_says_which_and_is_judged_there(tmp_path):
    part = {**PAST, "elsewhere": "run that one."}
    values = {("rope", PAST_L): np.zeros((3, 6))}
    lacking = verdicts(tmp_path / "here", [claim(part)], values, rope=3)["claims"][0]
    assert (lacking["verdict"], lacking["reason"]) == ("inconclusive", "Not measured here: run that one.")
    assert lacking["estimate"] is None
    assert one(tmp_path / "there", part, noise(-0.2, 0.002))["verdict"] == "supported"


def test_part_that_does_not_decide_stands_beside(tmp_path):
    values = {
        ("hope", PAST_L): noise(-0.2, 0.002),
        ("rope", PAST_L): np.zeros((3, 6)),
        ("hope", WITHIN_L): noise(0.2, 0.002),
        ("rope", WITHIN_L): np.zeros((3, 6)),
    }
    beside = {**WITHIN, "decides": False}
    absent = {
        **WITHIN,
        "id": "absent",
        "decides": False,
        "treatment": {"encoding": "learned", "measure": "loss_within"},
    }
    result = verdicts(tmp_path, [claim(PAST, beside, absent)], values)
    found = result["claims"][0]
    assert found["verdict"] == "supported"
    assert [(part["id"], part["verdict"]) for part in found["parts"]] == [
        ("past", "supported"),
        ("within", "contradicted"),
    ]
    assert found["parts"][1]["holm_p"] is None
    assert result["correction"] == {"method": "Holm", "endpoints": 1}


def of_two_arms(folder: Path, claims: list[dict], text: np.ndarray, other: np.ndarray) -> dict:
    """Judge claims on two arms of the same encodings, given how HoPE differs from RoPE past L in each."""
    values = {
        TEXT: {("hope", PAST_L): 4.0 + text, ("rope", PAST_L): np.full_like(text, 4.0)},
        "other": {("hope", PAST_L): 7.0 + other, ("rope", PAST_L): np.full_like(other, 7.0)},
    }
    return verdicts_of_arms(folder, claims, values, settings({"rope": 3, "hope": 3}, arms={TEXT: {}, "other": {}}))


def test_a_claim_is_judged_from_the_models_of_its_arm_alone(tmp_path):
    stated = [claim(PAST), claim(PAST, id="2", arm="other")]
    result = of_two_arms(tmp_path / "both", stated, noise(-0.2, 0.01), noise(0.2, 0.02))
    text, other = result["claims"]
    assert [(found["arm"], found["verdict"]) for found in (text, other)] == [
        (TEXT, "supported"),
        ("other", "contradicted"),
    ]
    assert result["correction"]["endpoints"] == 2  # the same key in two arms is two endpoints
    for found, arm, difference, level in ((text, TEXT, -0.2, 4.0), (other, "other", 0.2, 7.0)):
        assert (found["estimate"], found["baseline_mean"]) == pytest.approx((difference, level))
        assert (found["seeds"], found["units"]) == (3, 6)
        tables = [path for path in found["evidence"] if path != "tables/endpoints.parquet"]
        assert len(tables) == 6 and all(path.startswith(f"evaluation/{arm}/") for path in tables)
        assert f"figures/{arm}/loss_by_position.svg" in found["shown_in"]
    # Whatever the other arm has, nothing changes but what is corrected over both.
    for place, again in enumerate((noise(-0.2, 0.01), noise(5.0, 3.0, seeds=3, units=40), np.zeros((2, 2)))):
        beside = of_two_arms(tmp_path / str(place), stated, noise(-0.2, 0.01), again)["claims"][0]
        numbers = ("verdict", "estimate", "low", "high", "df", "seeds", "units", "p", "detectable", "evidence")
        assert [beside[name] for name in numbers] == [text[name] for name in numbers]


def test_a_part_may_be_about_another_arm_than_its_claim(tmp_path):
    parts = (PAST, {**PAST, "id": "there", "arm": "other"})
    found = of_two_arms(tmp_path, [claim(*parts)], noise(-0.2, 0.01), noise(0.2, 0.01))["claims"][0]
    assert [(part["arm"], part["verdict"]) for part in found["parts"]] == [
        (TEXT, "supported"),
        ("other", "contradicted"),
    ]
    assert (found["verdict"], found["settled_by"]) == ("contradicted", "there")


def test_a_claim_on_an_arm_that_the_study_lacks_is_open(tmp_path):
    path = tmp_path / "claims.yaml"
    values = {("hope", PAST_L): noise(3.8, 0.01), ("rope", PAST_L): noise(4.0, 0.01)}
    verdicts(tmp_path, [claim(PAST)], values)  # writes the study's files
    beside = {**PAST, "id": "beside", "decides": False}
    elsewhere = claim({**PAST, "elsewhere": "run that one."}, id="3", arm=RETRIEVAL)
    stated = [claim(PAST), claim(PAST, beside, id="2", arm=RETRIEVAL), elsewhere]
    path.write_text(yaml.safe_dump({"claims": stated, "arms": [RETRIEVAL]}))
    judge(tmp_path, path)
    result = json.loads((tmp_path / "claims.json").read_text())
    here, lacking, told = result["claims"]
    assert here["verdict"] == "supported" and result["correction"]["endpoints"] == 1
    assert (lacking["verdict"], lacking["reason"]) == ("inconclusive", "The study has no arm retrieval.")
    assert lacking["estimate"] is None and lacking["evidence"] == []
    assert [part["id"] for part in lacking["parts"]] == ["past"]  # what does not decide is left out
    assert (told["verdict"], told["reason"]) == ("inconclusive", "Not measured here: run that one.")


def test_holm_takes_back_what_many_endpoints_would_find_by_chance(tmp_path):
    endpoints = [PAST_L, WITHIN_L, replace(PAST_L, multiple=2.0), replace(PAST_L, multiple=8.0)]
    values, claims = {}, []
    for number, endpoint in enumerate(endpoints):
        # The first is found at p of about 0.02; the others are noise.
        values["hope", endpoint] = noise(-0.2 if number == 0 else -0.02, 0.08)
        values["rope", endpoint] = np.zeros((3, 6))
        sides = {
            side: {"encoding": encoding, **endpoint.columns}
            for side, encoding in (("treatment", "hope"), ("baseline", "rope"))
        }
        claims.append(claim({**PAST, **sides}, id=str(number)))
    alone = verdicts(tmp_path, claims[:1], values)["claims"][0]
    assert alone["verdict"] == "supported"
    assert 0.0125 < alone["p"] < 0.05
    among = verdicts(tmp_path, claims, values)["claims"][0]
    assert (among["interval_verdict"], among["verdict"]) == ("supported", "inconclusive")
    assert among["holm_p"] == pytest.approx(4 * alone["p"])
    assert "Holm" in among["reason"]


def test_endpoint_of_two_claims_counts_once(tmp_path):
    values = {("hope", PAST_L): noise(-0.2, 0.05), ("rope", PAST_L): np.zeros((3, 6))}
    result = verdicts(tmp_path, [claim(PAST), claim({**PAST, "id": "again"}, id="2")], values)
    assert result["correction"]["endpoints"] == 1
    assert [found["holm_p"] for found in result["claims"]] == [result["claims"][0]["p"]] * 2


@pytest.mark.parametrize(
    ("rope", "hope", "verdict"),
    [
        (0.4, 0.6, "supported"),
        (0.97, 0.99, "inconclusive"),
        (0.02, 0.03, "inconclusive"),
        (0.4, 0.99, "supported"),
        (0.05, 0.6, "supported"),
        (0.4, 0.4, "contradicted"),
    ],
)
def test_task_at_its_floor_or_ceiling_tells_nothing(tmp_path, rope, hope, verdict):
    found = one(tmp_path, COPY, noise(hope - rope, 0.001), baseline=rope)
    assert found["verdict"] == verdict


@pytest.mark.parametrize(
    ("changes", "value", "verdict"),
    [
        ({}, 0.51, "supported"),
        ({}, 0.49, "supported"),
        ({}, 0.53, "contradicted"),
        ({"direction": "higher", "margin": None, "smallest_effect": 0.1}, 0.61, "supported"),
        ({"direction": "higher", "margin": None, "smallest_effect": 0.1}, 0.55, "contradicted"),
        ({"direction": "lower", "margin": None, "smallest_effect": 0.1}, 0.3, "supported"),
    ],
)
def test_exact_parts_compare_numbers(tmp_path, changes, value, verdict):
    found = verdicts(tmp_path, [claim({**EXACT, **changes})], {("hope", FAR): np.array([[value]])})
    assert found["claims"][0]["verdict"] == verdict
    assert found["claims"][0]["estimate"] == pytest.approx(value - 0.5)
    assert found["claims"][0]["p"] is None
    assert found["correction"]["endpoints"] == 0


def test_result_names_the_claims_by_digest_and_holds_no_number_that_is_none(tmp_path):
    one(tmp_path, PAST, noise(-0.2, 0.01))
    text = (tmp_path / "claims.json").read_text()
    digest = hashlib.sha256((tmp_path / "claims.yaml").read_bytes()).hexdigest()
    assert json.loads(text)["claims_sha256"] == digest
    assert "NaN" not in text and "Infinity" not in text


def test_judging_before_the_endpoints_is_one_line(new_study):
    folder = new_study(seeds={"rope": 1})
    with pytest.raises(UserError, match=r"endpoints\.parquet: there is no such file"):
        judge(folder, SHIPPED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["parts"][0].update(margn=1.0), "claims.1.parts.past.margn'.*did you mean 'margin'"),
        (lambda c: c["parts"][0].pop("direction"), "key 'claims.1.parts.past.direction' is missing"),
        (lambda c: c["parts"][0].update(direction="down"), "claims.1.parts.past.direction"),
        (lambda c: c["parts"][0].update(smallest_effect="big"), "claims.1.parts.past.smallest_effect"),
        (lambda c: c["parts"][0].update(smallest_effect=-1.0), "claims.1.parts.past.smallest_effect"),
        (lambda c: c["parts"][0].update(margin=0.1), "takes smallest_effect, and no margin"),
        (lambda c: c["parts"][0].update(kind="non_inferiority"), "takes margin, and no smallest_effect"),
        (lambda c: c["parts"][0].update(direction="equal"), "direction 'equal' is for kind 'exact'"),
        (lambda c: c["parts"][0]["treatment"].update(measure="octave_los"), "no measure.*did you mean 'octave_loss'"),
        (
            lambda c: c["parts"][0].update(baseline={"encoding": "rope", "measure": "loss_2L_4L@yarn-4"}),
            "claims.1.parts.past.baseline.*'loss_2L_4L@yarn-4' is no measure any more; write "
            "{encoding: rope, measure: octave_loss, multiple: 4, extension: yarn-4}",
        ),
        (lambda c: c["parts"][0]["treatment"].update(depth=0.5), "'octave_loss' takes no depth, but multiple and ext"),
        (lambda c: c["parts"][0]["treatment"].pop("multiple"), "'octave_loss' needs multiple"),
        (
            lambda c: c["parts"][0].update(
                treatment={"encoding": "rope", "measure": "index_change", "intervention": "melt", "components": "slow"}
            ),
            "intervention: 'melt' is none of freeze, mean, remove",
        ),
        (lambda c: c["parts"][0]["treatment"].update(seed=1), "unknown key 'claims.1.parts.past.treatment.seed'"),
        (lambda c: c["parts"][0].update(treatment={"constant": 1.0}), "give an encoding and a measure"),
        (lambda c: c["parts"][0].update(baseline={"encoding": "rope"}), "give an encoding and a measure"),
        (lambda c: c["parts"][0].update(not_measured="no task"), "claims.1.parts.past"),
        (lambda c: c["parts"][0].update(decides=False), "no part decides"),
        (lambda c: c["parts"].append(c["parts"][0]), "two parts have the same id"),
        (lambda c: c.update(parts=[]), "claims.1.parts: expected a list of parts"),
        (lambda c: c.update(titel="x"), "unknown key 'claims.1.titel'.*did you mean 'title'"),
        (lambda c: c.update(source="rumour"), "claims.1.source"),
    ],
)
def test_mistake_in_the_claims_is_one_line_that_names_the_key(tmp_path, change, message):
    content = json.loads(json.dumps(claim(PAST)))
    change(content)
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [content]}))
    with pytest.raises(UserError, match=message) as caught:
        load_claims(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["claims: [", "claims: 3", "claims: []", "", "- 1", "claims: [1]", "other: []"])
def test_file_that_holds_no_claims_is_one_line(tmp_path, text):
    (tmp_path / "claims.yaml").write_text(text)
    with pytest.raises(UserError, match=r"claims\.yaml: (expected|not valid YAML)") as caught:
        load_claims(tmp_path / "claims.yaml")
    assert "\n" not in str(caught.value)


def test_missing_claims_file_and_claims_of_one_id(tmp_path):
    with pytest.raises(UserError, match="no such claims file"):
        load_claims(tmp_path / "claims.yaml")
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump({"claims": [claim(PAST), claim(PAST)]}))
    with pytest.raises(UserError, match="two claims have this id"):
        load_claims(tmp_path / "claims.yaml")


def test_shipped_claims_are_the_ten():
    stated = load_claims(SHIPPED)
    claims = stated.claims
    assert [found.id for found in claims] == NUMBERS
    arms = {found.id: {found.arm, *(part.arm for part in found.parts if isinstance(part, Part))} for found in claims}
    assert arms == {number: {RETRIEVAL if number in OF_RETRIEVAL else TEXT} for number in NUMBERS}
    by_id = {(found.id, part.id): part for found in claims for part in found.parts}
    trained = by_id["3", "expressiveness"]
    assert isinstance(trained, Part) and trained.decides and "workflow/presets/frozen.yaml" in trained.elsewhere
    past, within = by_id["6", "below_rope"], by_id["7", "within"]
    assert isinstance(past, Part) and past.treatment.endpoint == PAST_L
    assert isinstance(within, Part) and within.margin == pytest.approx(np.log(1.01), abs=1e-5)
    # A claim about HoPE must not be decided by a part that leaves HoPE out, and the other way round.
    for found in claims:
        sides = [
            side for part in found.parts if isinstance(part, Part) and part.decides for side in part.sides.values()
        ]
        # What is asked of all sizes at once is asked of HoPE, and has RoPE in it too.
        at_all_sizes = any(known(side.endpoint).source.name == "kernel_sizes" for side in sides)
        used = {side.encoding for side in sides} | ({"rope"} if at_all_sizes else set())
        assert used - {*stated.encodings} == set(found.covers)


def judged(folder: Path) -> dict[str, str]:
    write_endpoints(folder)
    judge(folder, SHIPPED)
    return {found["id"]: found["verdict"] for found in json.loads((folder / "claims.json").read_text())["claims"]}


def test_shipped_claims_on_a_study_where_the_paper_is_right(new_study):
    truth = Truth(
        past={"rope": 0.6, "hope": 0.0},
        within={"hope": -0.1},
        copy={"rope": 0.4, "hope": 0.9},  # far apart: there are few prompts
        copy_past={"rope": 0.3, "hope": 0.8},
        few_shot={"rope": 0.35, "hope": 0.85},
        recall={"rope": 0.3, "hope": 0.8},  # and what others hold against HoPE is wrong
        frozen_past=4.0,
        seed_noise=0.0005,
        unit_noise=0.0005,
        noise=0.002,
    )
    arms = with_retrieval({"rope": 3, "hope": 3})
    right = dict.fromkeys(NUMBERS, "supported") | {"3": "inconclusive", "9": "contradicted", "10": "contradicted"}
    assert judged(new_study(truth, seeds={"rope": 3, "hope": 3, "none": 3}, arms=arms)) == right
    # Models without positions decide nothing.
    assert judged(new_study(truth, seeds={"rope": 3, "hope": 3}, arms=arms)) == right
    # Without the arm that is trained on tasks alone, what is asked of it stays open.
    without = judged(new_study(truth, seeds={"rope": 3, "hope": 3}))
    assert without == {**right, **dict.fromkeys(OF_RETRIEVAL, "inconclusive")}


def test_shipped_claims_on_a_study_where_the_paper_is_wrong(new_study):
    truth = Truth(
        past={"rope": 0.1, "hope": 0.6},
        within={"hope": 0.2},
        copy={"rope": 0.8, "hope": 0.5},
        copy_past={"rope": 0.8, "hope": 0.5},
        recall={"rope": 0.9, "hope": 0.2},
        index={"rope": -0.5, "hope": -0.5},
        frozen_index=-0.5,
        random_index=-0.7,
        frozen_past=5.5,
        divergence={"rope": 0.2, "hope": 0.4},
        seed_noise=0.0005,
        unit_noise=0.0005,
        noise=0.002,
    )
    arms = with_retrieval({"rope": 3, "hope": 3})
    found = judged(new_study(truth, seeds={"rope": 3, "hope": 3, "none": 3}, arms=arms))
    # The theory stays what it is, and what others hold against HoPE is right.
    supported = ("4", "9", "10")
    assert found == {number: "supported" if number in supported else "contradicted" for number in NUMBERS}


def test_shipped_claims_on_single_seeds_are_open(new_study):
    found = judged(new_study(seeds={"rope": 1, "hope": 1}, arms=with_retrieval({"rope": 1, "hope": 1})))
    assert found == {number: "supported" if number == "4" else "inconclusive" for number in NUMBERS}


def test_shipped_claims_without_hope(new_study):
    found = judged(new_study(seeds={"rope": 3, "none": 1}, arms=with_retrieval({"rope": 3, "none": 1})))
    assert {found[number] for number in NUMBERS[3:]} == {"inconclusive"}


def test_verdict_file_replaces_an_older_one(shared_study, tmp_path):
    folder = shutil.copytree(shared_study, tmp_path / "study")
    (folder / "claims.json").write_text("old")
    judged(folder)
    assert len(json.loads((folder / "claims.json").read_text())["claims"]) == len(NUMBERS)
