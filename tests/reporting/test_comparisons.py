"""The exploratory table: every encoding against RoPE and HoPE."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from hope import words
from hope.config import to_json
from hope.measures import Endpoint
from hope.reporting import effects
from hope.reporting.claims import judge
from hope.reporting.claims_file import Part, load_claims
from hope.reporting.comparisons import COLUMNS, comparisons, pairs
from hope.reporting.endpoints import write_endpoints
from hope.reporting.estimates import COLUMNS as ENDPOINTS
from hope.reporting.estimates import Cell, Observations
from hope.reporting.page.tables import one_table
from hope.reporting.page.write import write_report
from hope.reporting.study_tables import StudyTables
from hope.reporting.summaries import baseline_of
from hope.statistics import crossed_mean, holm
from tests.reporting.make_study import (
    DOCUMENTS,
    PROMPTS,
    RETRIEVAL,
    TEXT,
    arm_settings,
    make_study,
    settings,
    with_retrieval,
)
from tests.reporting.pages import Page

CLAIMS = Path(__file__).parents[2] / "workflow" / "claims.yaml"
LOSS = Endpoint("loss_within")
ON_TEXT_ALONE = {
    "rope-text": {"family": "rope", "text_only": True},
    "hope-text": {"family": "hope", "text_only": True},
    "fast": {"family": "rope", "settings": {"base": 800.0}},
}


def opened(folder: Path, seeds: dict[str, int], **changes: object) -> StudyTables:
    """Return a study that has nothing but a config."""
    (folder / "study.json").write_text(to_json(settings(seeds, **changes)))
    return StudyTables(folder)


def of_endpoint(table: pd.DataFrame, **key: object) -> pd.DataFrame:
    """Return the rows of one endpoint, by encoding."""
    return table[[Endpoint.of(row) == Endpoint(**key) for row in table.to_dict("records")]].set_index("encoding")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a judged study with two seeds of ALiBi and one of no encoding, and an arm that is trained on tasks."""
    folder = tmp_path_factory.mktemp("comparisons") / "study"
    tasks = {"tasks": ["repeat", "few_shot", "decoy_recent", "mqar_many"], "multiples": [1.0, 4.0]}
    arms = with_retrieval({"rope": 3, "hope": 3}, retrieval=tasks)
    text = {"tasks": ["copy"], "multiples": [1.0], "prompts": PROMPTS}
    make_study(folder, seeds={"rope": 3, "hope": 3, "alibi": 2, "none": 1}, arms=arms, retrieval=text)
    write_endpoints(folder)
    judge(folder, CLAIMS)
    return folder


@pytest.fixture(scope="module")
def table(study: Path) -> pd.DataFrame:
    """Return its comparisons."""
    return pd.read_csv(study / "tables" / "comparisons.csv")


def observed(endpoint: Endpoint = LOSS, **values: np.ndarray) -> Observations:
    """Return the values of one endpoint by encoding, each [seeds, units]."""
    rows = [
        {"arm": TEXT, **endpoint.columns, "encoding": encoding, "seed": seed, "unit": unit, "value": value}
        for encoding, matrix in values.items()
        for seed, of_units in enumerate(matrix)
        for unit, value in enumerate(of_units)
    ]
    return Observations(pd.DataFrame(rows, columns=ENDPOINTS))


def test_each_row_is_paired_and_has_its_size_its_interval_and_the_smallest_detectable_effect(tmp_path):
    documents = np.array([3.0, 9.0, 1.0, 5.0, 4.0])  # they cancel in pairs
    own = np.random.default_rng(2).normal(size=(3, 5)) * 0.1 + np.linspace(-0.1, 0.1, 3)[:, None] - 0.3
    tables = opened(tmp_path, {"rope": 3, "alibi": 3})
    row = comparisons({TEXT: observed(rope=0 * own + documents, alibi=own + documents)}, tables, {}, 0).iloc[0]
    oracle = crossed_mean(own)
    assert [row["estimate"], row["low"], row["high"]] == pytest.approx([own.mean(), *oracle.interval(0.95)])
    assert row["p"] == row["holm_p"] == pytest.approx(oracle.p_value())
    assert row["detectable"] == pytest.approx(oracle.detectable(0.95))
    for end in ("", "_low", "_high", "_detectable"):
        assert row[f"percent{end}"] == pytest.approx(100 * math.expm1(row[end[1:] or "estimate"]))
    assert (row["seeds"], row["units"], row["tests"], row["family"]) == (3, 5, 1, "exploratory")
    assert (row["arm"], row["baseline"]) == (TEXT, "rope")
    assert np.isnan(row["points"])
    # Models that answer alike throughout get no interval of width zero.
    right = Endpoint("accuracy", task="copy", multiple=1.0)
    alike = comparisons({TEXT: observed(right, rope=0 * own + 1, alibi=0 * own + 1)}, tables, {}, 0).iloc[0]
    assert alike["estimate"] == 0.0
    assert alike[["low", "high", "p", "detectable", "points_low"]].isna().all()
    # Nor do those that differ alike throughout, whatever the rounding of the mean over so many prompts.
    third = comparisons(
        {TEXT: observed(right, rope=np.full((3, 24), 1 / 3), alibi=np.ones((3, 24)))}, tables, {}, 0
    ).iloc[0]
    assert third["points"] == pytest.approx(200 / 3)
    assert third[["low", "high", "p", "detectable", "points_low"]].isna().all()
    # No difference of two accuracies is beyond 100 points.
    far = np.array([[0.2, 0.3], [0.9, 0.8], [0.9, 1.0]])
    row = comparisons({TEXT: observed(right, rope=0 * far, alibi=far)}, tables, {}, 0).iloc[0]
    assert crossed_mean(far).interval(0.95)[1] > 1 and crossed_mean(far).detectable() > 1
    assert (row["high"], row["points_high"]) == (1.0, 100.0) and np.isnan(row["points_detectable"])
    assert row["p"] == pytest.approx(crossed_mean(far).p_value())
    # Levels are those of the seeds that both sides have: with others they would not fit their difference.
    uneven = observed(rope=np.array([[0.8], [0.8]]), alibi=np.array([[0.9], [0.9], [0.2], [0.2]]))
    difference = uneven.difference(Cell("alibi", LOSS), Cell("rope", LOSS))
    assert difference is not None
    assert [difference.treatment, difference.baseline, difference.estimate.mean] == pytest.approx([0.9, 0.8, 0.1])
    # Without a baseline there are all columns and no rows.
    assert list(comparisons({TEXT: observed()}, tables, {}, 0)) == COLUMNS
    assert comparisons({TEXT: observed(alibi=own)}, tables, {}, 0).empty


def test_arms_of_the_same_encodings_are_compared_apart(tmp_path):
    draw = np.random.default_rng(4)
    values = {arm: {"rope": draw.normal(size=(3, 5)), "hope": draw.normal(size=(3, 5))} for arm in (TEXT, "other")}
    tables = opened(tmp_path, {"rope": 3, "hope": 3}, arms={TEXT: {}, "other": {}})
    both = comparisons({arm: observed(**of_arm) for arm, of_arm in values.items()}, tables, {}, 0)
    assert both["arm"].tolist() == [TEXT, "other"] and set(both["seeds"]) == {3}
    for place, of_arm in enumerate(values.values()):
        assert both["estimate"][place] == pytest.approx((of_arm["hope"] - of_arm["rope"]).mean())
    assert both["holm_p"].tolist() == pytest.approx(holm(both["p"].tolist()))  # over all arms together
    assert set(both["tests"]) == {2}


def test_retrieval_is_shown_in_points(table):
    row = of_endpoint(table, measure="accuracy", task="copy", multiple=1.0).query("baseline == 'rope'").loc["hope"]
    for end in ("", "_low", "_high", "_detectable"):
        assert row[f"points{end}"] == pytest.approx(100 * row[end[1:] or "estimate"], rel=1e-4)
    assert np.isnan(row["percent"])


def test_every_encoding_stands_against_rope_and_hope_and_no_pair_twice(table):
    of_measure = table[table["measure"] == "loss_within"]
    found = list(zip(of_measure["encoding"], of_measure["baseline"], strict=True))
    assert found == [("hope", "rope"), ("alibi", "rope"), ("none", "rope"), ("alibi", "hope"), ("none", "hope")]


def test_the_report_shows_the_smallest_detectable_effects(study, table):
    past = of_endpoint(table, measure="octave_loss", multiple=4.0).query("baseline == 'rope'").loc["hope"]
    rows = one_table(StudyTables(study).arms[TEXT], "comparisons").rows
    cells = {row[0].text: row for row in rows if row[1].text == f"hope {words.MINUS} rope"}
    assert cells["loss from 2L to 4L"][4].text == f"{words.number(past['percent_detectable'], 2)}% in perplexity"
    assert cells["loss from 2L to 4L"][0].note.startswith("octave_loss: ")
    assert cells["copy accuracy at L"][4].text.endswith(" points")
    assert cells["copy accuracy at L"][3].text.endswith("] points")
    assert cells["loss from 2L to 4L"][5].note == "primary" and cells["loss from 4L to 8L"][5].note == ""
    assert (cells["loss within L"][6].text, cells["loss within L"][6].note) == ("3", f"{DOCUMENTS} documents")
    write_report(study)
    text = Page((study / "report" / "index.html").read_text(encoding="utf-8")).text
    within = json.loads((study / "claims.json").read_text())["claims"][6]
    assert f"the smallest effect that this study could have seen is {effects.detectable(within)}" in text
    assert text.count("could have seen") > 8 and "figures/text/loss_by_position.svg" in text


def test_effects_in_familiar_units():
    loss = {"percent": -1.5, "percent_low": -30.0, "percent_high": 4.0, "percent_detectable": 12.3}
    assert effects.familiar(loss) == "−1.50% [−30%, +4.0%] in perplexity"
    assert effects.familiar({"points": 4.0, "points_low": None, "points_high": None, "percent": None}) == "+4.0 points"
    assert effects.familiar({"percent": math.nan, "points": math.nan}) == effects.familiar({}) == ""
    assert effects.detectable(loss) == "12% in perplexity"
    assert effects.detectable({"points_detectable": 8.0, "detectable": 0.08}) == "8.0 points"
    assert effects.detectable({"detectable": 0.08}) == "0.080" and effects.detectable({"detectable": None}) == ""


def test_sixteen_encodings_make_thirty_pairs_but_for_those_that_coincide(tmp_path):
    names = ["rope", "hope", "none", "alibi", "learned", "sinusoidal", "t5", "kerple_log", "fire", "xpos"]
    names += ["pope", "darope", "partial_rope_hope", "clipped_rope", "rope_fast", "hope_random"]
    assert (
        len(list(pairs(opened(tmp_path, dict.fromkeys(names, 1)).arms[TEXT]))) == 29
    )  # 15 with RoPE, 14 more with HoPE
    twice = {"rope": 1, "hope": 1, "twin": 1, "unmoved": 1}
    definitions = {
        "twin": {"family": "rope", "settings": {"base": 10_000.0}},
        "unmoved": {"family": "hope", "settings": {"cutoff": 0.0}},
    }
    assert list(pairs(opened(tmp_path, twice, definitions=definitions).arms[TEXT])) == [("hope", "rope")]


def test_text_alone_is_compared_with_text_alone(tmp_path):
    names = ["rope", "hope", "fast", "rope-text", "hope-text"]
    tables = opened(tmp_path, dict.fromkeys(names, 1), definitions=ON_TEXT_ALONE).arms[TEXT]
    known = tables.arm
    against_rope = {name: baseline_of(known, name) for name in names}
    assert against_rope == {"rope": None, "hope": "rope", "fast": "rope", "rope-text": None, "hope-text": "rope-text"}
    assert baseline_of(known, "fast", "hope") == "hope"
    assert baseline_of(arm_settings({"rope": 1, "hope-text": 1}, definitions=ON_TEXT_ALONE), "hope-text") is None
    assert ("hope-text", "rope-text") in set(pairs(tables)) and ("rope-text", "hope-text") not in set(pairs(tables))


def test_primary_endpoints_are_corrected_with_their_claims_and_leave_the_other_family(study, table):
    primary, others = (table[table["family"] == name] for name in ("primary", "exploratory"))
    parts = [part for stated in load_claims(CLAIMS).claims for part in stated.parts if isinstance(part, Part)]
    deciding = {
        (part.arm, part.treatment.endpoint, part.treatment.encoding, part.baseline.encoding)
        for part in parts
        if part.decides and part.kind != "exact" and len(part.sides) == 2
        if part.treatment.endpoint == part.baseline.endpoint
        if not part.elsewhere  # its encodings are another study's
    }
    assert (TEXT, Endpoint("loss_within"), "hope", "rope") in deciding and len(deciding) > 3
    assert {arm for arm, *_ in deciding} == {TEXT, RETRIEVAL}
    found = {(row["arm"], Endpoint.of(row), row["encoding"], row["baseline"]) for row in primary.to_dict("records")}
    assert found == deciding
    judged = json.loads((study / "claims.json").read_text())
    within = judged["claims"][6]["parts"][0]
    row = primary[primary["measure"] == "loss_within"].iloc[0]
    assert (row["p"], row["holm_p"]) == pytest.approx((within["p"], within["holm_p"]), rel=1e-4)
    assert set(primary["tests"]) == {judged["correction"]["endpoints"]}
    tested = others[others["p"].notna()]
    assert set(others["tests"]) == {len(tested)}
    assert tested["holm_p"].tolist() == pytest.approx(holm(tested["p"].tolist()), rel=1e-3)
    assert (tested["holm_p"] > tested["p"]).any()


def test_a_claim_the_other_way_round_is_the_same_endpoint(study, tmp_path):
    part = {
        "id": "other_way", "statement": "RoPE's loss is higher.", "direction": "higher", "kind": "superiority",
        "treatment": {"encoding": "rope", "measure": "loss_within"}, "unit": "nats",
        "baseline": {"encoding": "hope", "measure": "loss_within"}, "smallest_effect": 0.01,
    }  # fmt: skip
    stated = {"id": "1", "title": "Mine", "statement": "So.", "source": "ours", "arm": TEXT, "parts": [part]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"claims": [stated]}))
    shutil.copy(study / "study.json", tmp_path)
    (tmp_path / "tables").mkdir()
    shutil.copy(study / "tables" / "endpoints.parquet", tmp_path / "tables")
    judge(tmp_path, tmp_path / "mine.yaml")
    rows = pd.read_parquet(tmp_path / "tables" / "comparisons.parquet")
    assert rows.loc[rows["family"] == "primary", "measure"].tolist() == ["loss_within"]


def test_single_seed_has_neither_interval_nor_p(table):
    single = table[table["encoding"] == "none"]
    assert set(single["seeds"]) == {1} and single["estimate"].notna().all()
    assert single[["low", "high", "df", "detectable", "p", "holm_p", "percent_low", "points_low"]].isna().all().all()
    assert set(table.loc[table["encoding"] == "alibi", "seeds"]) == {2}


def test_measures_of_one_encoding_alone_and_of_formulas_are_left_out(table):
    others = table[table["family"] == "exploratory"]
    assert not others["measure"].str.contains("kernel|bound|initial|shuffled|change|spread|margin").any()
    assert others[["depth", "intervention", "components"]].isna().all().all()


def test_a_primary_endpoint_stands_among_the_comparisons_whatever_its_measure(table):
    margins = table[table["measure"] == "margin"]
    assert margins[["arm", "task", "multiple", "encoding", "baseline", "family"]].values.tolist() == [
        [RETRIEVAL, "repeat", 1.0, "hope", "rope", "primary"],
        [RETRIEVAL, "few_shot", 1.0, "hope", "rope", "primary"],
    ]
