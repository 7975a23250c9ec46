from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hope.errors import UserError
from hope.measures import KEYS, MEASURES, Endpoint
from hope.measures.kernels import kernel_floor
from hope.reporting.endpoints import collect_endpoints, write_endpoints
from hope.reporting.estimates import Cell, by_arm, percent
from hope.reporting.figures.declaration import declared_figures
from hope.reporting.figures.loss import context_gain, loss_by_position
from hope.reporting.study_tables import StudyTables
from hope.statistics import crossed_mean
from tests.reporting.make_study import DOCUMENTS, HEAD_DIM, LENGTH, PROMPTS, VOCABULARY, Truth, arm_settings, make_study

FEW = {"tasks": ["copy"], "multiples": [1.0], "prompts": PROMPTS}
"""Retrieval of studies on which little is measured."""


def written(study: Path) -> pd.DataFrame:
    write_endpoints(study)
    return pd.read_parquet(study / "tables" / "endpoints.parquet")


def table(study: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(study / "tables" / f"{name}.csv")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study with its tables; tests only read it."""
    folder = tmp_path_factory.mktemp("endpoints") / "study"
    write_endpoints(make_study(folder, retrieval=FEW | {"tasks": ["copy", "few_shot", "recall"]}))
    return folder


def test_measures_are_shown_in_figures_and_tables_that_are_made(study):
    needed = {table for declared in declared_figures() for table in declared.needs}
    for measure in MEASURES.values():
        source = measure.source
        assert source.summaries or f"{source.room}/{source.name}.parquet" in needed, measure.name
        for name in source.summaries:
            assert (study / "tables" / f"{name}.csv").exists(), name


def test_endpoints_hold_every_model_and_no_gap(study):
    frame = pd.read_parquet(study / "tables" / "endpoints.parquet")
    assert list(frame.columns) == ["arm", *KEYS, "encoding", "seed", "unit", "value"]
    assert frame["value"].notna().all()
    assert not frame.duplicated(["arm", *KEYS, "encoding", "seed", "unit"]).any()
    loss = frame[frame["measure"] == "loss_within"]
    assert loss.groupby("encoding")["seed"].nunique().to_dict() == {"rope": 3, "hope": 3, "none": 1, "alibi": 1}
    assert (loss.groupby(["encoding", "seed"])["unit"].nunique() == DOCUMENTS).all()
    copied = frame.query("measure == 'exact' and task == 'copy' and multiple == 1")
    assert set(copied["unit"]) == set(range(PROMPTS))


def test_every_measure_is_measured_and_takes_what_it_says(study, new_study):
    deep = {"tasks": ["needle"], "multiples": [1.0], "prompts": 22}
    more = {
        "documents": DOCUMENTS,
        "strided": {"window": 1.0, "stride": 0.5},
        "extensions": [{"kind": "yarn", "factor": 4}],
    }
    frames = [pd.read_parquet(study / "tables" / "endpoints.parquet")]
    frames.append(written(new_study(seeds={"rope": 1}, retrieval=deep, extrapolation=more)))
    endpoints = _endpoints(pd.concat(frames))
    assert {endpoint.measure for endpoint in endpoints} == set(MEASURES)
    assert not [found for endpoint in endpoints if (found := MEASURES[endpoint.measure].wrong(endpoint))]
    assert len({endpoint.words for endpoint in endpoints}) == len(endpoints)
    assert len({endpoint.metric for endpoint in endpoints}) == len(endpoints)


def _endpoints(frame: pd.DataFrame) -> list[Endpoint]:
    return [Endpoint.of(row) for row in frame[list(KEYS)].drop_duplicates().to_dict("records")]


def test_arms_of_the_same_encodings_are_kept_apart(new_study):
    study = {"seeds": {"rope": 1, "hope": 1}, "retrieval": FEW}
    arms = {"text": {}, "other": {"seeds": {"first": 1}, "retrieval": FEW}}
    alone, both = new_study(**study), new_study(**study, arms=arms)
    expected, frame = written(alone), written(both)
    assert set(expected["arm"]) == {"text"} and set(frame["arm"]) == {"text", "other"}
    text, other = (frame[frame["arm"] == name].reset_index(drop=True) for name in ("text", "other"))
    pd.testing.assert_frame_equal(text, expected)
    loss = other[other["measure"] == "loss_within"]
    assert set(loss["seed"]) == {1} and set(loss["encoding"]) == {"rope", "hope"}
    observed, cell = by_arm(frame, ["text", "other"]), Cell("hope", Endpoint("loss_within"))
    for name in ("losses", "attention", "ushape", "retrieval", "cost"):
        whole, own = table(both, name), table(alone, name)
        pd.testing.assert_frame_equal(whole[whole["arm"] == "text"].reset_index(drop=True), own, check_dtype=False)
    levels = table(both, "losses").query("measure == 'loss_within' and extension.isna() and encoding == 'hope'")
    means = {name: observed[name].matrix(cell).to_numpy().mean() for name in ("text", "other")}
    assert levels.set_index("arm")["estimate"].to_dict() == pytest.approx(means, rel=1e-4)
    assert means["text"] != pytest.approx(means["other"], rel=1e-4)


def test_encoding_that_ends_has_no_endpoints_past_its_end(new_study):
    folder = new_study(seeds={"rope": 1, "learned": 1}, retrieval=FEW | {"multiples": [1.0, 2.0]})
    frame = written(folder)
    learned, rope = ({*_endpoints(frame[frame["encoding"] == name])} for name in ("learned", "rope"))
    within = {Endpoint("context_loss", multiple=1.0), Endpoint("accuracy", task="copy", multiple=1.0)}
    assert {Endpoint("loss_within"), Endpoint("index_trained"), *within} <= learned
    past = {endpoint for endpoint in rope if endpoint.measure == "loss_past" or (endpoint.multiple or 0) > 1}
    assert len(past) > 8
    assert not past & learned
    assert table(folder, "losses").query("encoding == 'learned'")["estimate"].notna().all()


def test_kernel_and_its_floor_come_from_different_places(study):
    frame = pd.read_parquet(study / "tables" / "endpoints.parquet").query("measure.str.startswith('kernel')")
    value = frame.set_index(["encoding", "measure"])["value"]
    turning = sum(10_000 ** (-2 * j / HEAD_DIM) >= 2 * np.pi / LENGTH for j in range(HEAD_DIM // 2))
    assert value["hope", "kernel_floor"] == pytest.approx(1 - 2 * turning / HEAD_DIM)
    assert value["rope", "kernel_floor"] == 0.0
    assert value["hope", "kernel_far"] == pytest.approx(value["hope", "kernel_floor"], abs=0.02)
    assert value["rope", "kernel_far"] < 0.3 < value["hope", "kernel_far"]
    assert (frame["seed"] == -1).all()


def test_the_floor_is_that_of_rope_and_hope_alone():
    names = ["rope", "rope_fast", "hope", "hope_two_turns", "hope_slow_only", "hope_random", "p_rope", "none"]
    arm = arm_settings(dict.fromkeys(names, 1))
    assert [kernel_floor(None, arm, name) for name in names] == [0.0, 0.0, 0.625, 0.75, None, None, None, None]


def test_kernel_gap_is_the_distance_between_the_two_curves(study):
    table = pd.read_parquet(study / "analysis" / "text" / "theory" / "kernel.parquet")
    curves = table[table["distance"] <= LENGTH].pivot(index="distance", columns="encoding")
    frame = pd.read_parquet(study / "tables" / "endpoints.parquet").set_index("measure")["value"]
    value, bound = (np.abs(curves[name]["hope"] - curves[name]["rope"]).mean() for name in ("value", "bound"))
    assert frame["kernel_gap_within"] == pytest.approx(value)
    assert frame["bound_gap_within"] == pytest.approx(bound / ((HEAD_DIM / 2 + 1) / 2))


def test_levels_have_the_crossed_interval_of_their_matrix(study):
    frame = pd.read_parquet(study / "tables" / "endpoints.parquet")
    key = "measure == 'octave_loss' and multiple == 4 and extension.isna() and encoding == 'hope'"
    part, row = frame.query(key), table(study, "losses").query(key).iloc[0]
    low, high = crossed_mean(part.pivot(index="seed", columns="unit", values="value").to_numpy()).interval(0.95)
    assert (row["estimate"], row["low"], row["high"]) == pytest.approx((part["value"].mean(), low, high), rel=1e-4)
    assert row["perplexity"] == pytest.approx(np.exp(part["value"].mean()), rel=1e-4)


def test_tables_are_the_same_as_csv_and_parquet(study):
    for name in ("losses", "attention", "ushape", "retrieval", "cost"):
        parquet = pd.read_parquet(study / "tables" / f"{name}.parquet")
        pd.testing.assert_frame_equal(table(study, name), parquet, check_dtype=False, rtol=1e-4, check_exact=False)
        assert len(parquet)


def test_the_u_shape_has_an_interval_by_layer_and_over_all_with_the_first_token_and_without(study):
    rows = table(study, "ushape").query("encoding == 'rope' and subject == 'trained' and query == @LENGTH - 1")
    assert sorted(rows["layer"]) == sorted([-1, 0, 1] * 2)
    frame = pd.concat(
        pd.read_parquet(study / f"analysis/text/rope/seed{seed}/ushape.parquet").assign(seed=seed) for seed in range(3)
    ).query("subject == 'trained' and query == @LENGTH - 1")
    for row in rows.to_dict("records"):
        own = frame if row["layer"] == -1 else frame[frame["layer"] == row["layer"]]
        name = "index" if row["first_token"] else "index_without_sink"
        matrix = own.pivot_table(index="seed", columns="document", values=name, aggfunc="mean").to_numpy()
        low, high = crossed_mean(matrix).interval(0.95)
        assert (row["estimate"], row["low"], row["high"]) == pytest.approx((matrix.mean(), low, high), rel=1e-4)
    whole = rows.query("layer == -1 and not first_token")["estimate"].iloc[0]
    attention = table(study, "attention").set_index(["measure", "encoding"])
    assert attention.loc[("index_trained", "rope"), "estimate"] == pytest.approx(whole, rel=1e-4)


def test_retrieval_stands_beside_chance_and_within_its_range(study):
    rows = table(study, "retrieval")
    known = arm_settings({"rope": 1})
    assert list(rows["task"].unique()) == ["copy", "few_shot", "recall"]
    assert (rows["trained"] == rows["task"].isin(list(known.mixture.tasks))).all()
    assert rows.set_index("task").loc["recall", "chance"].unique() == pytest.approx([1 / known.tasks.recall.alphabet])
    assert rows["low"].dropna().between(0, 1).all() and rows["high"].dropna().between(0, 1).all()
    assert rows.query("encoding == 'alibi'")["low"].isna().all()


def test_retrieval_has_the_prompts_of_a_cell_and_their_standard_error(new_study):
    tasks = {"tasks": ["copy", "few_shot", "needle"], "multiples": [1.0], "prompts": 44}
    truth = Truth(copy={"rope": 1.0}, seed_noise=0.0, unit_noise=0.0, noise=0.0)
    folder = new_study(truth, seeds={"rope": 2}, retrieval=tasks)
    write_endpoints(folder)
    rows = table(folder, "retrieval").set_index(["task", "depth"])
    whole = table(folder, "retrieval").query("depth.isna()").set_index("task")
    # A model at its ceiling gets no interval of width zero.
    assert whole.loc["copy", "accuracy"] == 1.0 and whole.loc["copy", ["low", "high"]].isna().all()
    runs = [pd.read_parquet(folder / f"evaluation/text/rope/seed{seed}/retrieval.parquet") for seed in (0, 1)]
    errors = [run[run["task"] == "few_shot"]["accuracy"].sem() for run in runs]
    assert whole["prompts"].to_dict() == {"copy": 44, "few_shot": 44, "needle": 44}
    assert whole.loc["few_shot", "standard_error"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-4)
    # Of a task with depths, prompts of one number are one unit over all depths, and their own at each.
    errors = [run[run["task"] == "needle"].groupby("example")["accuracy"].mean().sem() for run in runs]
    assert whole.loc["needle", "standard_error"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-4)
    middle = [run[(run["task"] == "needle") & (run["depth"] == 0.5)]["accuracy"] for run in runs]
    assert rows.loc[("needle", 0.5), "prompts"] == 4
    assert rows.loc[("needle", 0.5), "accuracy"] == pytest.approx(np.mean(middle), rel=1e-4)
    depths = table(folder, "retrieval").query("task == 'needle'")["depth"].iloc[1:]
    assert list(depths) == sorted(set(runs[0]["depth"].dropna()))


def test_cost_counts_parameters_tokens_and_time(study):
    rows = table(study, "cost")
    assert len(rows) == 8
    assert (rows["parameters"] == VOCABULARY * 2 * HEAD_DIM).all()
    assert (rows["tokens"] == 20_480).all()
    assert rows["seconds"].to_numpy() == pytest.approx(20_480 / rows["tokens_per_second"].to_numpy(), rel=1e-4)


def test_unit_that_one_seed_lacks_is_left_out(study):
    frame = pd.read_parquet(study / "tables" / "endpoints.parquet").query("measure == 'loss_within'")
    frame = frame.query("not (encoding == 'hope' and seed == 1 and unit == 3)")
    matrix = by_arm(frame, ["text"])["text"].matrix(Cell("hope", Endpoint("loss_within")))
    assert list(matrix.columns) == [0, 1, 2, 4, 5, 6, 7]
    assert matrix.notna().all().all()


def test_a_missing_or_damaged_file_is_one_line_that_names_it(new_study):
    folder = new_study(seeds={"rope": 1}, retrieval=FEW)
    for name in (
        "evaluation/text/rope/seed0/context.parquet",
        "analysis/text/rope/seed0/ushape.parquet",
        "models/text/rope/seed0/history.parquet",
        "models/text/rope/seed0/model.safetensors",
        "analysis/text/theory/kernel.parquet",
        "analysis/text/theory/kernel_sizes.parquet",
        "study.json",
    ):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(UserError) as caught:
            write_endpoints(folder)
        assert name in str(caught.value) and "\n" not in str(caught.value)
        (folder / name).write_bytes(content)
    (folder / "evaluation/text/rope/seed0/retrieval.parquet").write_bytes(b"half a ta")
    with pytest.raises(UserError, match=r"retrieval.parquet: cannot be read .*delete it") as caught:
        write_endpoints(folder)
    assert "\n" not in str(caught.value)


def test_percent_of_what_is_missing_and_of_what_overflows() -> None:
    assert np.isnan(percent(float("nan")))
    assert percent(np.log(1.01)) == pytest.approx(1.0)
    assert percent(800.0) == float("inf")


def test_rows_of_length_extensions_change_nothing_of_the_models_as_trained(new_study):
    more = {"documents": DOCUMENTS, "extensions": [{"kind": "yarn", "factor": 4}]}
    folder = new_study(seeds={"rope": 2}, retrieval=FEW, extrapolation=more)

    def numbers() -> list[pd.DataFrame]:
        tables = StudyTables(folder)
        endpoints = collect_endpoints(tables)
        drawn = [draw(tables.arms["text"]) for draw in (loss_by_position, context_gain)]
        assert all(drawn)
        return [endpoints[endpoints["extension"].isna()].reset_index(drop=True), *(each.data for each in drawn)]

    extended = numbers()
    for path in folder.glob("evaluation/text/rope/*/[ec]*.parquet"):
        rows = pd.read_parquet(path)
        assert (rows["extension"] == "yarn-4").any()
        rows[rows["extension"] == "none"].to_parquet(path, index=False)
    for before, after in zip(extended, numbers(), strict=True):
        pd.testing.assert_frame_equal(before, after)
