"""The exploratory table: every encoding against RoPE and HoPE."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from hope.config import to_json
from hope.measures import Endpoint
from hope.reporting import words
from hope.reporting.claims import judge
from hope.reporting.claims_file import Part, load_claims
from hope.reporting.comparisons import COLUMNS, comparisons, pairs
from hope.reporting.endpoints import COLUMNS as ENDPOINTS
from hope.reporting.endpoints import write_endpoints
from hope.reporting.estimates import Observations
from hope.reporting.page.tables import one_table
from hope.reporting.page.write import write_report
from hope.reporting.study_tables import StudyTables
from hope.reporting.summaries import baseline_of
from hope.statistics import crossed_mean, holm
from tests.reporting.make_study import (
    DOCUMENTS,
    RETRIEVAL,
    TEXT,
    Truth,
    arm_settings,
    make_study,
    settings,
    with_retrieval,
)
from tests.reporting.pages import Page

CLAIMS = Path(__file__).parents[2] / "workflow" / "claims.yaml"
ON_TEXT_ALONE = {
    "rope-text": {"family": "rope", "text_only": True},
    "hope-text": {"family": "hope", "text_only": True},
    "fast": {"family": "rope", "settings": {"base": 800.0}},
}


def compared(folder: Path) -> pd.DataFrame:
    write_endpoints(folder)
    judge(folder, CLAIMS)
    return pd.read_csv(folder / "tables" / "comparisons.csv")


def opened(folder: Path, seeds: dict[str, int], **changes: object) -> StudyTables:
    """Return a study of one arm that has nothing but a config."""
    (folder / "study.json").write_text(to_json(settings(seeds, **changes)))
    return StudyTables(folder)


def of_endpoint(table: pd.DataFrame, **key: object) -> pd.DataFrame:
    """Return the rows of one endpoint, by encoding."""
    return table[[Endpoint.of(row) == Endpoint(**key) for row in table.to_dict("records")]].set_index("encoding")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Comparisons of a study with two seeds of ALiBi and one of no encoding, and an arm that is trained on tasks."""
    return compared(of_two_arms(tmp_path_factory.mktemp("comparisons") / "study"))


def of_two_arms(folder: Path) -> Path:
    arms = with_retrieval({"rope": 3, "hope": 3})
    return make_study(folder, seeds={"rope": 3, "hope": 3, "alibi": 2, "none": 1}, arms=arms)


def frame(**values: np.ndarray) -> Observations:
    """Return endpoints of two documents' losses by encoding, each [seeds, documents]."""
    rows = [
        {
            "arm": TEXT,
            **Endpoint("loss_within").columns,
            "encoding": encoding,
            "seed": seed,
            "unit": unit,
            "value": value,
        }
        for encoding, matrix in values.items()
        for seed, of_units in enumerate(matrix)
        for unit, value in enumerate(of_units)
    ]
    return Observations(pd.DataFrame(rows, columns=ENDPOINTS))


def test_differences_are_paired_by_seed_and_document(new_study):
    truth = Truth(within={"hope": -0.25}, seed_noise=0.0, unit_noise=0.0, noise=0.0)
    rows = compared(new_study(truth, seeds={"rope": 3, "hope": 3, "alibi": 1})).set_index(["encoding", "measure"])
    row = rows.loc[("hope", "loss_within")]
    assert row["estimate"] == pytest.approx(-0.25)
    assert (row["low"], row["high"]) == pytest.approx((-0.25, -0.25))  # the documents' own losses cancel
    assert row["percent"] == pytest.approx(100 * (np.exp(-0.25) - 1), rel=1e-4)
    assert (row["seeds"], row["units"], row["baseline"]) == (3, DOCUMENTS, "rope")


def test_each_row_says_how_large_how_sure_and_what_could_have_been_seen(tmp_path):
    own = np.random.default_rng(2).normal(size=(3, 5)) * 0.1 + np.linspace(-0.1, 0.1, 3)[:, None] - 0.3
    zeros = np.zeros((3, 5))
    tables = opened(tmp_path, {"rope": 3, "alibi": 3})
    row = comparisons({TEXT: frame(rope=zeros, alibi=own)}, tables, {}, 0).iloc[0]
    oracle = crossed_mean(own)
    assert [row["low"], row["high"]] == pytest.approx(oracle.interval(0.95))
    assert row["p"] == row["holm_p"] == pytest.approx(oracle.p_value())
    assert row["detectable"] == pytest.approx(oracle.detectable(0.95))
    assert row["percent_low"] == pytest.approx(100 * math.expm1(row["low"]))
    assert row["percent_detectable"] == pytest.approx(100 * math.expm1(row["detectable"]))
    assert (row["seeds"], row["units"], row["tests"], row["family"]) == (3, 5, 1, "exploratory")
    assert row["arm"] == TEXT
    assert np.isnan(row["points"])


def test_arms_of_the_same_encodings_are_compared_apart(new_study):
    seeds = {"rope": 3, "hope": 3}
    alone, both = new_study(seeds=seeds), new_study(seeds=seeds, arms={TEXT: {}, "other": {"seeds": {"first": 5}}})
    expected, found = compared(alone), compared(both)
    assert set(found["arm"]) == {TEXT, "other"} and set(found["seeds"]) == {3}
    text, other = (found[found["arm"] == name].reset_index(drop=True) for name in (TEXT, "other"))
    corrected = ["holm_p", "tests"]  # over all arms together
    pd.testing.assert_frame_equal(text.drop(columns=corrected), expected.drop(columns=corrected))
    assert set(other["family"]) == {"exploratory"}  # no claim is about it
    tested = found[(found["family"] == "exploratory") & found["p"].notna()]
    assert tested["holm_p"].tolist() == pytest.approx(holm(tested["p"].tolist()), rel=1e-3)
    own = of_endpoint(other, measure="loss_within").loc["hope", "estimate"]
    assert own != pytest.approx(of_endpoint(text, measure="loss_within").loc["hope", "estimate"], rel=1e-4)
    judged = [json.loads((folder / "claims.json").read_text())["claims"] for folder in (alone, both)]
    assert judged[0] == judged[1]


def test_retrieval_is_told_in_points(table):
    row = of_endpoint(table, measure="accuracy", task="copy", multiple=1.0).query("baseline == 'rope'").loc["hope"]
    for end in ("", "_low", "_high", "_detectable"):
        assert row[f"points{end}"] == pytest.approx(100 * row[end[1:] or "estimate"], rel=1e-4)
    assert np.isnan(row["percent"])


def test_every_encoding_stands_against_rope_and_hope_and_no_pair_twice(table):
    of_measure = table[table["measure"] == "loss_within"]
    found = list(zip(of_measure["encoding"], of_measure["baseline"], strict=True))
    assert found == [("hope", "rope"), ("alibi", "rope"), ("none", "rope"), ("alibi", "hope"), ("none", "hope")]


def test_the_report_says_what_could_have_been_seen(new_study):
    folder = new_study(seeds={"rope": 3, "hope": 3})
    past = of_endpoint(compared(folder), measure="octave_loss", multiple=4.0).loc["hope"]
    view = one_table(StudyTables(folder).arms["text"], "comparisons")
    cells = {row[0].text: row for row in view.rows}
    assert cells["loss from 2L to 4L"][4].text == f"{words.number(past['percent_detectable'], 2)}% in perplexity"
    assert cells["loss from 2L to 4L"][0].note.startswith("octave_loss: ")
    assert cells["copy accuracy at L"][4].text.endswith(" points")
    assert cells["copy accuracy at L"][3].text.endswith("] points")
    assert cells["loss from 2L to 4L"][5].note == "primary" and cells["loss from 4L to 8L"][5].note == ""
    assert (cells["loss within L"][6].text, cells["loss within L"][6].note) == ("3", f"{DOCUMENTS} documents")
    write_report(folder)
    text = Page((folder / "report" / "index.html").read_text(encoding="utf-8")).text
    within = json.loads((folder / "claims.json").read_text())["claims"][6]
    assert f"the smallest effect that this study could have seen is {words.detectable(within)}" in text
    assert text.count("could have seen") > 8 and "figures/text/loss_by_position.svg" in text


def test_effects_are_told_in_familiar_units():
    loss = {"percent": -1.5, "percent_low": -30.0, "percent_high": 4.0, "percent_detectable": 12.3}
    assert words.familiar(loss) == "−1.50% [−30%, +4.0%] in perplexity"
    assert words.familiar({"points": 4.0, "points_low": None, "points_high": None, "percent": None}) == "+4.0 points"
    assert words.familiar({"percent": math.nan, "points": math.nan}) == words.familiar({}) == ""
    assert words.detectable(loss) == "12% in perplexity"
    assert words.detectable({"points_detectable": 8.0, "detectable": 0.08}) == "8.0 points"
    assert words.detectable({"detectable": 0.08}) == "0.080" and words.detectable({"detectable": None}) == ""


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


def test_primary_endpoints_are_corrected_with_their_claims_and_leave_the_other_family(table, tmp_path):
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
    folder = of_two_arms(tmp_path / "again")
    compared(folder)
    judged = json.loads((folder / "claims.json").read_text())
    within = judged["claims"][6]["parts"][0]
    row = primary[primary["measure"] == "loss_within"].iloc[0]
    assert (row["p"], row["holm_p"]) == pytest.approx((within["p"], within["holm_p"]), rel=1e-4)
    assert set(primary["tests"]) == {judged["correction"]["endpoints"]}
    tested = others[others["p"].notna()]
    assert set(others["tests"]) == {len(tested)}
    assert tested["holm_p"].tolist() == pytest.approx(holm(tested["p"].tolist()), rel=1e-3)
    assert (tested["holm_p"] > tested["p"]).any()


def test_a_claim_the_other_way_round_is_the_same_endpoint(new_study, tmp_path):
    folder = new_study(seeds={"rope": 3, "hope": 3})
    part = {
        "id": "other_way", "statement": "RoPE's loss is higher.", "direction": "higher", "kind": "superiority",
        "treatment": {"encoding": "rope", "measure": "loss_within"}, "unit": "nats",
        "baseline": {"encoding": "hope", "measure": "loss_within"}, "smallest_effect": 0.01,
    }  # fmt: skip
    stated = {"id": "1", "title": "Mine", "statement": "So.", "source": "ours", "arm": TEXT, "parts": [part]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"claims": [stated]}))
    write_endpoints(folder)
    judge(folder, tmp_path / "mine.yaml")
    rows = pd.read_parquet(folder / "tables" / "comparisons.parquet")
    assert rows.loc[rows["family"] == "primary", "measure"].tolist() == ["loss_within"]


def test_single_seed_has_neither_interval_nor_p(table):
    single = table[table["encoding"] == "none"]
    assert set(single["seeds"]) == {1} and single["estimate"].notna().all()
    assert single[["low", "high", "df", "detectable", "p", "holm_p", "percent_low", "points_low"]].isna().all().all()
    assert set(table.loc[table["encoding"] == "alibi", "seeds"]) == {2}


def test_models_that_answer_alike_throughout_get_no_interval_of_width_zero(new_study):
    truth = Truth(copy={"rope": 1.0, "hope": 1.0}, seed_noise=0.0, unit_noise=0.0, noise=0.0)
    rows = compared(new_study(truth, seeds={"rope": 3, "hope": 3}))
    row = of_endpoint(rows, measure="accuracy", task="copy", multiple=1.0).loc["hope"]
    assert row["estimate"] == 0.0
    assert row[["low", "high", "p", "detectable", "points_low"]].isna().all()


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


def test_without_a_baseline_there_are_no_rows_but_all_columns(new_study, tmp_path):
    folder = new_study(seeds={"none": 2})
    rows = compared(folder)
    assert rows.empty and list(rows.columns) == COLUMNS
    assert not pd.read_csv(folder / "tables" / "losses.csv").empty
    none = {TEXT: Observations(pd.DataFrame(columns=ENDPOINTS))}
    assert list(comparisons(none, opened(tmp_path, {"rope": 1}), {}, 0)) == COLUMNS
