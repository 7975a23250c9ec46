"""Every way in which a claim can end, on differences that leave no doubt about the right verdict."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
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
)

# Three endpoints of one claim; each difference, with so little or so much noise, has one right verdict.
ENDPOINTS = [Endpoint("octave_loss", multiple=multiple) for multiple in (4.0, 2.0, 8.0)]
SURELY = {"supported": (-0.2, 0.002), "contradicted": (0.2, 0.002), "inconclusive": (-0.05, 0.3)}


def part(number: int, **changes: Any) -> dict:
    key = ENDPOINTS[number].columns
    sides = {side: {"encoding": name, **key} for side, name in (("treatment", "hope"), ("baseline", "rope"))}
    return {**PAST, "id": f"part{number}", **sides, **changes}


def differences(*found: tuple[float, float]) -> dict[tuple[str, Endpoint], np.ndarray]:
    values = {}
    for endpoint, (mean, spread) in zip(ENDPOINTS, found, strict=False):
        values["hope", endpoint] = noise(mean, spread)
        values["rope", endpoint] = np.zeros((3, 6))
    return values


@pytest.mark.parametrize("of_parts", list(itertools.combinations_with_replacement(SURELY, 3)))
def test_claim_of_three_parts(tmp_path, of_parts):
    values = differences(*(SURELY[verdict] for verdict in of_parts))
    found = verdicts(tmp_path, [claim(part(0), part(1), part(2))], values)["claims"][0]
    assert [judged["verdict"] for judged in found["parts"]] == list(of_parts)
    expected = "inconclusive" if "inconclusive" in of_parts else "supported"
    assert found["verdict"] == ("contradicted" if "contradicted" in of_parts else expected)
    settling = next(judged for judged in found["parts"] if judged["id"] == found["settled_by"])
    assert settling["verdict"] == found["verdict"] and settling["reason"] in found["reason"]


@pytest.mark.parametrize("of_part", SURELY)
@pytest.mark.parametrize("beside", ["exact", "not measured", "not in this study"])
def test_claim_with_a_part_of_another_kind(tmp_path, of_part, beside):
    values = differences(SURELY[of_part]) | {("hope", FAR): np.array([[0.5]])}
    other = {"exact": EXACT, "not measured": FEW_SHOT, "not in this study": part(1)}[beside]
    found = verdicts(tmp_path, [claim(part(0), other)], values)["claims"][0]
    open_ended = "contradicted" if of_part == "contradicted" else "inconclusive"
    assert found["verdict"] == (of_part if beside == "exact" else open_ended)
    assert found["estimate"] is not None  # the numbers shown are those of a part that has some


def test_one_contradicted_one_open_one_not_measured(tmp_path):
    values = differences(SURELY["inconclusive"], SURELY["contradicted"])
    found = verdicts(tmp_path, [claim(part(0), part(1), FEW_SHOT)], values)["claims"][0]
    assert (found["verdict"], found["settled_by"], found["numbers_of"]) == ("contradicted", "part1", "part1")


def test_exact_part_that_fails_contradicts_whatever_else_holds(tmp_path):
    values = differences(SURELY["supported"]) | {("hope", FAR): np.array([[0.7]])}
    found = verdicts(tmp_path, [claim(part(0), EXACT)], values)["claims"][0]
    assert (found["verdict"], found["settled_by"]) == ("contradicted", "floor")


@pytest.mark.parametrize(
    ("stated", "mean", "spread"),
    [
        (PAST, -0.004, 0.0005),
        ({**PAST, "direction": "higher"}, 0.004, 0.0005),
        (COPY, 0.02, 0.002),
    ],
)
def test_effect_that_is_surely_there_and_surely_negligible_contradicts(tmp_path, stated, mean, spread):
    difference = noise(mean, spread)
    assert crossed_mean(difference).p_value() < 0.01
    found = one(tmp_path, stated, difference, baseline=0.5)
    assert found["verdict"] == "contradicted"
    assert "there is such an effect, but below" in found["reason"]


def test_negligible_loss_in_the_window_is_not_inferior_and_not_superior(tmp_path):
    difference = noise(0.004, 0.0005)
    better = {**PAST, "treatment": WITHIN["treatment"], "baseline": WITHIN["baseline"]}
    assert one(tmp_path / "a", WITHIN, difference)["verdict"] == "supported"
    assert one(tmp_path / "b", better, difference)["verdict"] == "contradicted"


@pytest.mark.parametrize("stated", [PAST, WITHIN, COPY])
@pytest.mark.parametrize("mean", [-0.2, 0.0, 0.2])
def test_single_seed_of_many_prompts_decides_nothing(tmp_path, stated, mean):
    found = one(tmp_path, stated, noise(mean, 0.0001, seeds=1, units=400), baseline=0.5, rope=1, hope=1)
    assert found["verdict"] == found["interval_verdict"] == "inconclusive"
    numbers = ("low", "high", "df", "p", "holm_p", "detectable", "percent_low", "points_low", "points_detectable")
    assert [found[name] for name in numbers] == [None] * len(numbers)


def test_two_seeds_decide_when_they_agree(tmp_path):
    found = one(tmp_path, PAST, noise(-0.2, 0.0005, seeds=2), rope=2, hope=2)
    assert (found["verdict"], found["seeds"]) == ("supported", 2)
    assert one(tmp_path, PAST, noise(-0.2, 0.02, seeds=2), rope=2, hope=2)["verdict"] == "inconclusive"


def test_holm_leaves_the_surest_and_takes_back_the_others_either_way(tmp_path):
    values = differences((-0.2, 0.002), (-0.2, 0.08), (0.2, 0.08))
    result = verdicts(tmp_path, [claim(part(n), id=str(n)) for n in range(3)], values)
    found = result["claims"]
    assert [each["interval_verdict"] for each in found] == ["supported", "supported", "contradicted"]
    assert [each["verdict"] for each in found] == ["supported", "inconclusive", "inconclusive"]
    assert [each["holm_p"] for each in found] == pytest.approx(holm([each["p"] for each in found]))
    assert "By that interval alone it would be contradicted" in found[2]["reason"]
    assert "3 primary endpoints" in found[2]["reason"]
    alone = verdicts(tmp_path / "alone", [claim(part(1))], values)["claims"][0]
    assert alone["verdict"] == "supported"


def test_parts_without_a_p_value_do_not_count_as_tests(tmp_path):
    values = differences(SURELY["supported"]) | {("hope", FAR): np.array([[0.5]])}
    beside = part(1, decides=False)
    result = verdicts(tmp_path, [claim(part(0), EXACT, FEW_SHOT, beside)], values | differences(*[(0, 1)] * 2))
    assert result["correction"]["endpoints"] == 1


def test_what_could_have_been_seen_is_told_with_every_number(tmp_path):
    difference = noise(-0.05, 0.3)
    found = one(tmp_path, PAST, difference)
    detectable = crossed_mean(difference).detectable(0.95)
    assert found["detectable"] == pytest.approx(detectable)
    assert found["percent_detectable"] == pytest.approx(100 * np.expm1(detectable))
    told = f"the smallest effect that it could have seen is {detectable:.2g} nats a token, "
    assert told + f"{100 * np.expm1(detectable):.3g}% in perplexity" in found["reason"]
    open_margin = one(tmp_path, WITHIN, noise(0.0, 0.2))
    assert "could have seen" in open_margin["reason"] and open_margin["verdict"] == "inconclusive"
    sure = one(tmp_path, PAST, noise(-0.2, 0.01))
    assert sure["detectable"] > 0 and "could have seen" not in sure["reason"]


def test_accuracy_is_told_in_points(tmp_path):
    found = one(tmp_path, COPY, noise(0.2, 0.01), baseline=0.4)
    for end in ("", "_low", "_high", "_detectable"):
        assert found[f"points{end}"] == pytest.approx(100 * found[end[1:] or "estimate"])
    assert found["percent"] is None and ", +20 points (95% interval" in found["reason"]


def test_verdicts_name_the_tables_and_figures_that_show_them(tmp_path):
    values = {
        ("hope", PAST_L): noise(-0.2, 0.01),
        ("rope", PAST_L): np.zeros((3, 6)),
        ("hope", COPIED): noise(0.6, 0.01),
        ("rope", COPIED): np.full((3, 6), 0.4),
    }
    found = verdicts(tmp_path, [claim(PAST, COPY, FEW_SHOT)], values)["claims"][0]
    past, copy, few_shot = found["parts"]
    assert past["shown_in"] == ["figures/claims.svg", "figures/text/loss_by_position.svg", "tables/losses.csv"]
    assert {"figures/text/retrieval.svg", "tables/retrieval.csv"} < set(copy["shown_in"])
    assert few_shot["shown_in"] == few_shot["evidence"] == []
    assert set(found["shown_in"]) == {*past["shown_in"], *copy["shown_in"]}
    assert "evaluation/text/rope/seed2/retrieval.parquet" in found["evidence"]


def test_documented_claim_of_a_users_own_encoding_is_judged(tmp_path):
    text = (Path(__file__).parents[3] / "docs" / "claims.md").read_text(encoding="utf-8")
    block = next(block for block in text.split("```yaml\n")[1:] if block.startswith("# my-claims.yaml"))
    stated = yaml.safe_load(block.split("```")[0])
    values = {
        (name, endpoint): noise(4.0 - gap, 0.002)
        for name, gap in (("window", 0.5), ("rope", 0.0))
        for endpoint in (PAST_L, WITHIN_L)
    }
    settings = {"definitions": {"window": {"family": "alibi"}}, "seeds": {"per_encoding": {"rope": 3, "window": 3}}}
    verdicts(tmp_path, [claim(PAST)], values, rope=3, hope=3)  # writes the study's files
    content = json.loads((tmp_path / "study.json").read_text())
    content["arms"]["text"] |= {"encodings": ["rope", "window"]} | settings
    (tmp_path / "study.json").write_text(json.dumps(content))
    (tmp_path / "my-claims.yaml").write_text(yaml.safe_dump(stated))
    judge(tmp_path, tmp_path / "my-claims.yaml")
    found = json.loads((tmp_path / "claims.json").read_text())
    assert [each["verdict"] for each in found["claims"]] == ["supported"]
    assert found["claims"][0]["covers"] == ["window", "rope"]
