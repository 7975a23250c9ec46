"""Verdicts on parts and claims, from made-up differences of which the right verdict is known."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from hope.measures import Endpoint
from hope.reporting.claims import judge
from hope.statistics import crossed_mean, holm
from tests.reporting.claims.judging import (
    COPIED,
    COPY,
    EXACT,
    FAR,
    FEW_SHOT,
    PAST,
    PAST_L,
    WITHIN,
    WITHIN_L,
    claim,
    noise,
    one,
    verdicts,
    verdicts_of_arms,
)
from tests.reporting.make_study import RETRIEVAL, TEXT, settings

ZEROS = np.zeros((3, 6))
# Three endpoints of one claim; each difference, with its noise, has one right verdict.
ENDPOINTS = [Endpoint("octave_loss", multiple=multiple) for multiple in (4.0, 2.0, 8.0)]
SURELY = {"supported": (-0.2, 0.002), "contradicted": (0.2, 0.002), "inconclusive": (-0.05, 0.3)}


def part(number: int, **changes: Any) -> dict:
    key = ENDPOINTS[number].columns
    sides = {side: {"encoding": name, **key} for side, name in (("treatment", "hope"), ("baseline", "rope"))}
    return {**PAST, "id": f"part{number}", **sides, **changes}


def differences(*of_parts: tuple[float, float]) -> dict[tuple[str, Endpoint], np.ndarray]:
    values = {}
    for endpoint, (mean, spread) in zip(ENDPOINTS, of_parts, strict=False):
        values["hope", endpoint], values["rope", endpoint] = noise(mean, spread), ZEROS
    return values


@pytest.mark.parametrize(
    ("mean", "spread", "verdict", "words"),
    [
        (-0.2, 0.01, "supported", "reaches the 0.01"),
        (-0.2, 0.5, "inconclusive", "neither no effect nor one that counts"),
        (0.2, 0.01, "contradicted", "the other way"),
        (0.0, 0.001, "contradicted", "ruled out"),
        (-0.004, 0.0005, "contradicted", "there is such an effect, but below the 0.01"),  # significant and negligible
        (-0.009, 0.002, "inconclusive", "may or may not reach"),
    ],
)
def test_superiority(tmp_path, mean, spread, verdict, words):
    judged = one(tmp_path, PAST, noise(mean, spread))
    assert judged["verdict"] == judged["interval_verdict"] == verdict
    assert words in judged["reason"]
    assert (judged["p"] < 0.05) == (verdict != "inconclusive")


@pytest.mark.parametrize(
    ("mean", "spread", "verdict", "equivalent"),
    [
        (0.005, 0.001, "supported", True),  # worse, surely, and by less than the margin
        (-0.2, 0.01, "supported", False),  # much better: not equivalent, and not inferior
        (0.2, 0.01, "contradicted", False),
        (0.0, 0.2, "inconclusive", False),
        (0.015, 0.004, "inconclusive", False),
    ],
)
def test_non_inferiority(tmp_path, mean, spread, verdict, equivalent):
    judged = one(tmp_path, WITHIN, noise(mean, spread))
    assert judged["verdict"] == verdict
    assert judged["equivalence"]["equivalent"] is equivalent
    assert (judged["p"] < 0.05) == (verdict != "inconclusive")
    assert ("could have seen" in judged["reason"]) == (verdict == "inconclusive")


def test_without_any_spread_the_noise_is_not_known(tmp_path):
    judged = one(tmp_path, PAST, noise(-0.2, 0.0))
    assert (judged["verdict"], judged["p"]) == ("inconclusive", None) and "noise is not known" in judged["reason"]


def test_a_model_that_never_learns_has_no_number_of_tokens(tmp_path):
    learned = Endpoint("tokens_to_learn")
    part = {**PAST, "smallest_effect": 1000.0, "unit": "tokens"}
    part |= {
        side: {"encoding": name, **learned.columns} for side, name in (("treatment", "hope"), ("baseline", "rope"))
    }
    tokens = np.array([[2000.0], [3000.0], [np.inf]])
    judged = verdicts(tmp_path, [claim(part)], {("hope", learned): tokens / 2, ("rope", learned): tokens})["claims"][0]
    assert (judged["verdict"], judged["p"], judged["estimate"]) == ("inconclusive", None, None)
    assert "Never reached in training: tokens to 0.9 within L of hope in 1 seed and" in judged["reason"]
    comparisons = pd.read_parquet(tmp_path / "tables" / "comparisons.parquet")
    assert comparisons.empty


def test_the_direction_higher_mirrors_lower(tmp_path):
    for stated in (PAST, WITHIN):
        for sign, verdict in ((1, "supported"), (-1, "contradicted")):
            lower = one(tmp_path, stated, noise(-0.2, 0.01) * sign)
            higher = one(tmp_path, {**stated, "direction": "higher"}, noise(-0.2, 0.01) * -sign)
            assert lower["verdict"] == higher["verdict"] == verdict
            assert (higher["estimate"], higher["low"]) == pytest.approx((-lower["estimate"], -lower["high"]))


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
def test_a_task_at_its_floor_or_ceiling_decides_nothing(tmp_path, rope, hope, verdict):
    assert one(tmp_path, COPY, noise(hope - rope, 0.001), baseline=rope)["verdict"] == verdict


def test_where_an_effect_that_counts_is_not_possible_nothing_is_ruled_out(tmp_path):
    part = {**COPY, "informative": {"lowest": 0.1, "highest": 0.98}}
    judged = one(tmp_path, part, noise(0.03, 0.001), baseline=0.97)
    assert (
        judged["verdict"] == "inconclusive" and "an effect of the 0.05 that counts is not possible" in judged["reason"]
    )
    assert one(tmp_path, part, noise(0.03, 0.001), baseline=0.94)["verdict"] == "contradicted"
    assert one(tmp_path, part, noise(-0.2, 0.001), baseline=0.97)["verdict"] == "contradicted"  # the other way


@pytest.mark.parametrize(
    ("changes", "value", "verdict"),
    [
        ({}, 0.49, "supported"),
        ({}, 0.53, "contradicted"),
        ({"direction": "higher", "margin": None, "smallest_effect": 0.1}, 0.61, "supported"),
        ({"direction": "higher", "margin": None, "smallest_effect": 0.1}, 0.55, "contradicted"),
        ({"direction": "lower", "margin": None, "smallest_effect": 0.1}, 0.3, "supported"),
    ],
)
def test_exact_parts_compare_numbers(tmp_path, changes, value, verdict):
    result = verdicts(tmp_path, [claim({**EXACT, **changes})], {("hope", FAR): np.array([[value]])})
    (judged,) = result["claims"]
    assert (judged["verdict"], judged["p"]) == (verdict, None)
    assert judged["estimate"] == pytest.approx(value - 0.5)
    assert result["correction"]["endpoints"] == 0


def test_numbers_are_those_of_the_crossed_estimate(tmp_path):
    difference = noise(-0.05, 0.3)
    judged, oracle = one(tmp_path, PAST, difference), crossed_mean(difference)
    detectable = oracle.detectable(0.95)
    assert [judged["low"], judged["high"]] == pytest.approx(oracle.interval(0.95))
    assert (judged["seeds"], judged["units"], judged["df"]) == (3, 6, pytest.approx(oracle.df()))
    assert (judged["treatment_mean"], judged["baseline_mean"]) == pytest.approx((3.95, 4.0))
    numbers = {"estimate": -0.05, "detectable": detectable, "percent": 100 * np.expm1(-0.05)}
    numbers |= {"percent_detectable": 100 * np.expm1(detectable)}
    assert {name: judged[name] for name in numbers} == pytest.approx(numbers)
    words = f"the smallest effect that it could have seen is {detectable:.2g} nats per token, "
    assert words + f"{100 * np.expm1(detectable):.3g}% in perplexity" in judged["reason"]
    sure = one(tmp_path, PAST, noise(-0.2, 0.05))
    assert sure["p"] == sure["holm_p"] == pytest.approx(crossed_mean(noise(-0.2, 0.05)).p_value())
    assert sure["detectable"] > 0 and "could have seen" not in sure["reason"]
    right = one(tmp_path, COPY, noise(0.2, 0.01), baseline=0.4)
    for end in ("", "_low", "_high", "_detectable"):
        assert right[f"points{end}"] == pytest.approx(100 * right[end[1:] or "estimate"])
    assert right["percent"] is None and ", +20 points (95% interval" in right["reason"]


def test_the_confidence_is_the_studys_and_the_claims_are_named_by_digest(tmp_path):
    judged = one(tmp_path, PAST, noise(-0.2, 0.05))
    text = (tmp_path / "claims.json").read_text()
    digest = hashlib.sha256((tmp_path / "claims.yaml").read_bytes()).hexdigest()
    assert json.loads(text)["claims_sha256"] == digest
    assert "NaN" not in text and "Infinity" not in text
    content = json.loads((tmp_path / "study.json").read_text())
    content["report"]["confidence"] = 0.8
    (tmp_path / "study.json").write_text(json.dumps(content))
    judge(tmp_path, tmp_path / "claims.yaml")
    narrow = json.loads((tmp_path / "claims.json").read_text())
    assert narrow["confidence"] == 0.8
    assert narrow["claims"][0]["high"] - narrow["claims"][0]["low"] < judged["high"] - judged["low"]


def test_a_single_seed_decides_nothing_and_two_that_agree_do(tmp_path):
    for stated, mean in itertools.product((PAST, WITHIN, COPY), (-0.2, 0.2)):
        judged = one(tmp_path, stated, noise(mean, 0.0001, seeds=1, units=400), baseline=0.5, rope=1, hope=1)
        assert judged["verdict"] == judged["interval_verdict"] == "inconclusive"
        assert "single seed" in judged["reason"]
        assert (judged["seeds"], judged["estimate"]) == (1, pytest.approx(mean))
        numbers = ("low", "high", "df", "p", "holm_p", "detectable", "percent_low", "points_low", "points_detectable")
        assert [judged[name] for name in numbers] == [None] * len(numbers)
    agreeing, apart = (one(tmp_path, PAST, noise(-0.2, spread, seeds=2), rope=2, hope=2) for spread in (0.0005, 0.02))
    assert (agreeing["verdict"], agreeing["seeds"], apart["verdict"]) == ("supported", 2, "inconclusive")
    # A seed without a partner does not count.
    values = {("hope", PAST_L): noise(3.8, 0.01, seeds=3), ("rope", PAST_L): noise(4.0, 0.01, seeds=1)}
    alone = verdicts(tmp_path, [claim(PAST)], values, rope=1, hope=3)["claims"][0]
    assert (alone["verdict"], alone["seeds"]) == ("inconclusive", 1)


def test_what_the_study_lacks_is_open_and_named(tmp_path):
    values = {("rope", PAST_L): noise(4, 0.1)}

    def reason(*claims: dict, **seeds: int) -> str:
        (judged,) = verdicts(tmp_path, list(claims), values, **seeds)["claims"]
        assert (judged["verdict"], judged["estimate"]) == ("inconclusive", None)
        return judged["reason"]

    assert reason(claim(PAST), rope=3) == "The study has no models of hope in the arm text."
    assert "loss from 2L to 4L of hope was not measured" in reason(claim(PAST))
    assert reason(claim(FEW_SHOT)) == "Not measured here: there is no such task."
    elsewhere = {**PAST, "elsewhere": "run that one."}
    assert reason(claim(elsewhere), rope=3) == "Not measured here: run that one."
    assert one(tmp_path, elsewhere, noise(-0.2, 0.002))["verdict"] == "supported"


def test_a_claim_follows_from_its_three_parts(tmp_path):
    for of_parts in itertools.combinations_with_replacement(SURELY, 3):
        values = differences(*(SURELY[verdict] for verdict in of_parts))
        judged = verdicts(tmp_path, [claim(part(0), part(1), part(2))], values)["claims"][0]
        assert [each["verdict"] for each in judged["parts"]] == list(of_parts)
        expected = "inconclusive" if "inconclusive" in of_parts else "supported"
        assert judged["verdict"] == ("contradicted" if "contradicted" in of_parts else expected)
        settling = next(each for each in judged["parts"] if each["id"] == judged["settled_by"])
        assert settling["verdict"] == judged["verdict"] and settling["reason"] in judged["reason"]
        assert (judged["numbers_of"], judged["estimate"]) == (settling["id"], settling["estimate"])


@pytest.mark.parametrize("of_part", SURELY)
def test_a_claim_with_a_part_of_another_kind(tmp_path, of_part):
    values = differences(SURELY[of_part]) | {("hope", FAR): np.array([[0.5]])}
    open_ended = "contradicted" if of_part == "contradicted" else "inconclusive"
    for other, verdict in ((EXACT, of_part), (FEW_SHOT, open_ended), (part(1), open_ended)):
        judged = verdicts(tmp_path, [claim(part(0), other)], values)["claims"][0]
        assert judged["verdict"] == verdict
        assert judged["estimate"] is not None  # the numbers shown are those of a part that has some
    failed = values | {("hope", FAR): np.array([[0.7]])}
    judged = verdicts(tmp_path, [claim(part(0), EXACT)], failed)["claims"][0]
    assert judged["verdict"] == "contradicted" and (of_part != "supported" or judged["settled_by"] == "floor")


def test_a_part_that_does_not_decide_has_a_verdict_of_its_own(tmp_path):
    values = {("hope", PAST_L): noise(-0.2, 0.002), ("rope", PAST_L): ZEROS}
    values |= {("hope", WITHIN_L): noise(0.2, 0.002), ("rope", WITHIN_L): ZEROS}
    beside = {**WITHIN, "decides": False}
    absent = {**beside, "id": "absent", "treatment": {"encoding": "learned", "measure": "loss_within"}}
    result = verdicts(tmp_path, [claim(PAST, beside, absent)], values)
    (judged,) = result["claims"]
    assert judged["verdict"] == "supported"
    assert [(each["id"], each["verdict"]) for each in judged["parts"]] == [
        ("past", "supported"),
        ("within", "contradicted"),
    ]
    assert judged["parts"][1]["holm_p"] is None
    assert result["correction"] == {"method": "Holm", "endpoints": 1}


def test_holm_keeps_the_surest_and_withdraws_the_others(tmp_path):
    values = differences((-0.2, 0.002), (-0.2, 0.08), (0.2, 0.08))
    judged = verdicts(tmp_path, [claim(part(n), id=str(n)) for n in range(3)], values)["claims"]
    assert [each["interval_verdict"] for each in judged] == ["supported", "supported", "contradicted"]
    assert [each["verdict"] for each in judged] == ["supported", "inconclusive", "inconclusive"]
    assert [each["holm_p"] for each in judged] == pytest.approx(holm([each["p"] for each in judged]))
    assert "By that interval alone it would be contradicted" in judged[2]["reason"]
    assert "3 primary endpoints" in judged[2]["reason"]
    assert verdicts(tmp_path, [claim(part(1))], values)["claims"][0]["verdict"] == "supported"


def test_an_endpoint_of_two_claims_counts_once(tmp_path):
    values = {("hope", PAST_L): noise(-0.2, 0.05), ("rope", PAST_L): ZEROS}
    result = verdicts(tmp_path, [claim(PAST), claim({**PAST, "id": "again"}, id="2")], values)
    assert result["correction"]["endpoints"] == 1
    assert [judged["holm_p"] for judged in result["claims"]] == [result["claims"][0]["p"]] * 2


def of_two_arms(folder: Path, claims: list[dict], text: np.ndarray, other: np.ndarray) -> dict:
    """Judge claims on two arms of the same encodings, given how HoPE differs from RoPE past L in each."""
    values = {
        TEXT: {("hope", PAST_L): 4.0 + text, ("rope", PAST_L): np.full_like(text, 4.0)},
        "other": {("hope", PAST_L): 7.0 + other, ("rope", PAST_L): np.full_like(other, 7.0)},
    }
    return verdicts_of_arms(folder, claims, values, settings({"rope": 3, "hope": 3}, arms={TEXT: {}, "other": {}}))


@pytest.mark.parametrize("units", [8, 24])
def test_the_same_difference_everywhere_decides_nothing_at_any_number_of_prompts(tmp_path, units):
    always, once_of_three = np.full((5, units), 1.0), np.full((5, units), 1 / 3)
    values = {("hope", COPIED): always, ("rope", COPIED): once_of_three}
    judged = verdicts(tmp_path, [claim(COPY)], values, rope=5, hope=5)["claims"][0]
    assert (judged["verdict"], judged["p"], judged["points"]) == ("inconclusive", None, pytest.approx(66.67, abs=0.01))
    assert [judged[name] for name in ("low", "high", "detectable", "points_low", "noise")] == [None] * 5
    assert "without any spread the noise is not known" in judged["reason"] and "interval" not in judged["reason"]


def test_no_difference_of_accuracies_is_said_to_be_beyond_100_points(tmp_path):
    few = {("hope", COPIED): noise(0.8, 0.16, seeds=2), ("rope", COPIED): noise(0.3, 0.1, seeds=2)}
    judged = verdicts(tmp_path, [claim(COPY)], few, rope=2, hope=2)["claims"][0]
    low, high = crossed_mean(few["hope", COPIED] - few["rope", COPIED]).interval(0.95)
    assert low > -1 and high > 1
    assert [judged["low"], judged["high"], judged["points_high"]] == pytest.approx([low, 1.0, 100.0])
    assert judged["detectable"] is judged["points_detectable"] is None
    assert " to 1)" in judged["reason"]


def test_a_claim_is_judged_from_the_models_of_its_arm_alone(tmp_path):
    stated = [claim(PAST), claim(PAST, id="2", arm="other")]
    result = of_two_arms(tmp_path, stated, noise(-0.2, 0.01), noise(0.2, 0.02))
    text, other = result["claims"]
    assert (text["verdict"], other["verdict"]) == ("supported", "contradicted")
    assert result["correction"]["endpoints"] == 2  # the same key in two arms is two endpoints
    for judged, arm, difference, level in ((text, TEXT, -0.2, 4.0), (other, "other", 0.2, 7.0)):
        assert judged["arm"] == arm
        assert (judged["estimate"], judged["baseline_mean"]) == pytest.approx((difference, level))
        tables = [path for path in judged["evidence"] if path != "tables/endpoints.parquet"]
        assert len(tables) == 6 and all(path.startswith(f"evaluation/{arm}/") for path in tables)
        assert f"figures/{arm}/loss_by_position.svg" in judged["shown_in"]
    # Whatever the other arm has, nothing changes but what is corrected over both.
    beside = of_two_arms(tmp_path, stated, noise(-0.2, 0.01), noise(5.0, 3.0, seeds=3, units=40))["claims"][0]
    numbers = ("verdict", "estimate", "low", "high", "df", "seeds", "units", "p", "detectable", "evidence")
    assert [beside[name] for name in numbers] == [text[name] for name in numbers]
    parts = (PAST, {**PAST, "id": "there", "arm": "other"})
    both = of_two_arms(tmp_path, [claim(*parts)], noise(-0.2, 0.01), noise(0.2, 0.01))["claims"][0]
    assert [each["verdict"] for each in both["parts"]] == ["supported", "contradicted"]
    assert (both["verdict"], both["settled_by"]) == ("contradicted", "there")


def test_a_claim_on_an_arm_that_the_study_lacks_is_open(tmp_path):
    path = tmp_path / "claims.yaml"
    values = {("hope", PAST_L): noise(3.8, 0.01), ("rope", PAST_L): noise(4.0, 0.02)}
    verdicts(tmp_path, [claim(PAST)], values)  # writes the study's files
    beside = {**PAST, "id": "beside", "decides": False}
    elsewhere = claim({**PAST, "elsewhere": "run that one."}, id="3", arm=RETRIEVAL)
    stated = [claim(PAST), claim(PAST, beside, id="2", arm=RETRIEVAL), elsewhere]
    path.write_text(yaml.safe_dump({"claims": stated, "arms": [RETRIEVAL]}))
    judge(tmp_path, path)
    result = json.loads((tmp_path / "claims.json").read_text())
    here, lacking, measured_elsewhere = result["claims"]
    assert here["verdict"] == "supported" and result["correction"]["endpoints"] == 1
    assert (lacking["verdict"], lacking["reason"]) == ("inconclusive", "The study has no arm retrieval.")
    assert lacking["estimate"] is None and lacking["evidence"] == []
    assert [each["id"] for each in lacking["parts"]] == ["past"]  # what does not decide is left out
    assert measured_elsewhere["reason"] == "Not measured here: run that one."


def test_verdicts_name_the_tables_and_figures_that_show_them(tmp_path):
    values = {("hope", PAST_L): noise(-0.2, 0.01), ("rope", PAST_L): ZEROS}
    values |= {("hope", COPIED): noise(0.6, 0.01), ("rope", COPIED): ZEROS + 0.4}
    judged = verdicts(tmp_path, [claim(PAST, COPY, FEW_SHOT)], values)["claims"][0]
    past, copy, few_shot = judged["parts"]
    assert past["shown_in"] == ["figures/claims.svg", "figures/text/loss_by_position.svg", "tables/losses.csv"]
    assert {"figures/text/retrieval.svg", "tables/retrieval.csv"} < set(copy["shown_in"])
    assert few_shot["shown_in"] == few_shot["evidence"] == []
    assert set(judged["shown_in"]) == {*past["shown_in"], *copy["shown_in"]}
    assert "evaluation/text/rope/seed2/retrieval.parquet" in judged["evidence"]


def test_documented_claim_of_a_users_own_encoding_is_judged(tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "claims.md").read_text(encoding="utf-8")
    block = next(block for block in text.split("```yaml\n")[1:] if block.startswith("# my-claims.yaml"))
    stated = yaml.safe_load(block.split("```")[0])
    values = {
        (name, endpoint): noise(4.0 - gap, spread)
        for name, gap, spread in (("window", 0.5, 0.002), ("rope", 0.0, 0.001))
        for endpoint in (PAST_L, WITHIN_L)
    }
    seeds = {"rope": 3, "window": 3}
    known = settings(seeds, arms={TEXT: {"definitions": {"window": {"family": "alibi"}}}})
    result = verdicts_of_arms(tmp_path, stated["claims"], {TEXT: values}, known)
    assert [each["verdict"] for each in result["claims"]] == ["supported"]
    assert result["claims"][0]["covers"] == ["window", "rope"]
