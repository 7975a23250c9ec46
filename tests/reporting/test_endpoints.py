import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hope.errors import UserError
from hope.reporting import endpoints as rooms
from hope.reporting.endpoints import kernel_floor, write_endpoints
from hope.reporting.estimates import Observations, percent
from hope.reporting.figures.declaration import declared_figures
from hope.reporting.measures import MEASURES, canonical, measure_named
from hope.statistics import crossed_mean
from tests.reporting.make_study import DOCUMENTS, HEAD_DIM, LENGTH, PROMPTS, VOCABULARY, Truth, settings

QUIET = {"seed_noise": 0.0, "unit_noise": 0.0, "noise": 0.0}


def written(study: Path) -> pd.DataFrame:
    write_endpoints(study)
    return pd.read_parquet(study / "tables" / "endpoints.parquet")


def table(study: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(study / "tables" / f"{name}.csv")


def changed(path: Path, change) -> None:
    change(pd.read_parquet(path)).to_parquet(path, index=False)


@pytest.fixture(scope="module")
def study(shared_study, tmp_path_factory):
    """A study with its tables; tests only read it."""
    folder = tmp_path_factory.mktemp("endpoints") / "study"
    shutil.copytree(shared_study, folder)
    write_endpoints(folder)
    return folder


def windows(*rows: tuple[int, int, int, float]) -> pd.DataFrame:
    """Return an extrapolation table from (document, start, end, nats a token)."""
    columns = {"document": [row[0] for row in rows], "start": [row[1] for row in rows], "end": [row[2] for row in rows]}
    frame = pd.DataFrame(columns).assign(extension="none", window=0)
    return frame.assign(
        tokens=frame["end"] - frame["start"], nll=(frame["end"] - frame["start"]) * [r[3] for r in rows]
    )


def test_losses_are_means_over_tokens_within_a_range():
    frame = windows((5, 0, 2, 1.0), (5, 2, 8, 3.0), (5, 8, 16, 4.0), (5, 16, 32, 6.0), (9, 0, 8, 2.0), (9, 8, 32, 7.0))
    found = dict(rooms.losses(frame, length=8, longest=4))
    assert found["loss_within"].to_dict() == {5: (2 * 1 + 6 * 3) / 8, 9: 2.0}
    assert found["loss_past"].to_dict() == {5: (8 * 4 + 16 * 6) / 24, 9: 7.0}
    # Document 9's bin of 8 to 32 belongs to no octave, so it is in none.
    assert found["loss_1L_2L"].to_dict() == {5: 4.0}
    assert found["loss_2L_4L"].to_dict() == {5: 6.0}


def test_windows_of_a_document_are_weighed_by_their_tokens():
    frame = pd.concat([windows((1, 0, 8, 1.0)), windows((1, 0, 8, 2.0)).assign(window=1)])
    assert dict(rooms.losses(frame, 8, 1))["loss_within"].to_dict() == {1: 1.5}


def test_range_that_is_not_measured_from_end_to_end_is_left_out():
    found = dict(rooms.losses(windows((1, 0, 8, 1.0), (1, 8, 16, 2.0)), length=8, longest=2))
    assert set(found) == {"loss_within", "loss_1L_2L"}
    assert not dict(rooms.losses(windows((1, 4, 8, 1.0), (1, 12, 16, 2.0)), length=8, longest=2))


def test_context_gain_compares_the_same_targets_and_is_positive_where_context_helps():
    frame = pd.DataFrame(
        {"extension": "none", "document": [1, 1, 1, 2, 2, 2], "context": [4, 8, 16] * 2, "tokens": 2}
    ).assign(nll=[10.0, 8.0, 6.0, 4.0, 4.0, 5.0])
    found = dict(rooms.context_losses(frame, 8, [0.5, 1.0, 2.0, 4.0]))
    assert set(found) == {"context_loss_0.5L", "context_loss_1L", "context_loss_2L", "context_gain_2L"}
    assert found["context_loss_0.5L"].to_dict() == {1: 5.0, 2: 2.0}
    assert found["context_gain_2L"].to_dict() == {1: 1.0, 2: -0.5}


def test_measures_of_a_length_extension_carry_its_label():
    positions = windows((1, 0, 8, 2.0), (1, 8, 16, 5.0))
    frame = pd.concat([positions, positions.assign(extension="yarn-4", nll=positions["nll"] / 2)])
    found = dict(rooms.losses(frame, length=8, longest=2))
    assert {name: values[1] for name, values in found.items()} == {
        "loss_within": 2.0, "loss_1L_2L": 5.0, "loss_within@yarn-4": 1.0, "loss_1L_2L@yarn-4": 2.5
    }  # fmt: skip
    contexts = pd.DataFrame({"document": 1, "context": [8, 16], "tokens": 2, "nll": [8.0, 6.0]})
    both = [contexts.assign(extension="none"), contexts.assign(extension="my.ext@2", nll=1.0)]
    found = dict(rooms.context_losses(pd.concat(both), 8, [1.0, 2.0]))
    assert found["context_loss_2L@my.ext@2"].to_dict() == {1: 0.5} and found["context_gain_2L"].to_dict() == {1: 1.0}
    assert not [name for name in found if name.startswith("context_gain_2L@")]
    known = measure_named("context_loss_2L@my.ext@2")
    assert known is not None and known.extension("context_loss_2L@my.ext@2") == "my.ext@2"
    assert known.numbers("context_loss_2L@my.ext@2") == [2.0]
    assert canonical("loss_2.0L_4L@mine_4.0") == "loss_2L_4L@mine_4.0"


def test_windows_that_slide_weigh_every_token_alike():
    frame = pd.DataFrame({"document": [3, 3], "context": [1, 5], "tokens": [4, 12], "nll": [20.0, 36.0]})
    found = dict(rooms.strided_losses(frame.assign(extension="none")))
    assert {name: values.to_dict() for name, values in found.items()} == {"strided_loss": {3: 56 / 16}}
    assert not dict(rooms.strided_losses(frame.assign(extension="none").iloc[:0]))


def test_index_is_the_mean_over_layers_and_heads_of_the_last_query_within():
    frame = pd.DataFrame(
        [
            (subject, query, head, document, value + 10 * (query != 7) + shift)
            for subject, shift in (("trained", 0), ("initial", 100), ("shuffled", 200))
            for query in (7, 15)
            for document in (3, 4)
            for head, value in enumerate((0.1 * document, 0.3))
        ],
        columns=["subject", "query", "head", "document", "index_without_sink"],
    ).assign(layer=0)
    found = dict(rooms.ushape(frame, 8))
    assert found["index_trained"].to_dict() == pytest.approx({3: 0.3, 4: 0.35})
    assert found["index_initial"].to_dict() == pytest.approx({3: 100.3, 4: 100.35})
    assert found["index_shuffled"].to_dict() == pytest.approx({3: 200.3, 4: 200.35})


def test_prompts_that_differ_in_depth_alone_are_one_unit():
    rows = [
        ("needle", 8, depth, example, value, int(value == 1), 0.5)
        for depth, values in ((0.0, (1.0, 0.5)), (1.0, (0.5, 0.0)))
        for example, value in enumerate(values)
    ]
    rows += [("copy", 8, None, example, 0.25, 0, None) for example in range(2)]
    columns = ["task", "length", "depth", "example", "accuracy", "exact", "margin"]
    found = dict(rooms.retrieval(pd.DataFrame(rows, columns=columns), 8, [0.5, 1.0]))
    assert found["needle_accuracy_1L"].to_dict() == {0: 0.75, 1: 0.25}
    assert found["needle_exact_1L"].to_dict() == {0: 0.5, 1: 0.0}
    assert found["needle_margin_1L"].to_dict() == {0: 0.5, 1: 0.5}
    assert found["needle_accuracy_1L_depth0"].to_dict() == {0: 1.0, 1: 0.5}
    assert found["needle_exact_1L_depth1"].to_dict() == {0: 0, 1: 0}
    assert found["copy_accuracy_1L"].to_dict() == {0: 0.25, 1: 0.25}
    assert found["copy_margin_1L"].isna().all()
    assert not [name for name in found if name.startswith("copy") and "depth" in name]


def test_names_of_measures_are_written_as_tables_write_them():
    written_so = ["loss_2L_4L", "copy_accuracy_0.25L", "needle_exact_1L_depth0.5", "loss_within", "freeze_slow_index"]
    assert [canonical(name) for name in written_so] == written_so
    assert canonical("loss_2.0L_4L") == "loss_2L_4L"
    assert canonical("needle_accuracy_1.0L_depth0.50") == "needle_accuracy_1L_depth0.5"
    depth = measure_named("needle_exact_1L_depth0.5")
    assert depth is not None and depth.numbers("needle_exact_1L_depth0.5") == [1.0, 0.5]


def test_measures_are_shown_in_figures_and_tables_that_are_made(study):
    figures = {f"figures/{declared.name}.svg" for declared in declared_figures()}
    for measure in MEASURES:
        for path in measure.shown:
            assert path in figures or (study / path).exists(), path


def test_interventions_are_differences_to_the_model_left_alone():
    rows = [
        (mode, name, measure, document, value + document)
        for mode, name, value in (
            ("none", "none", 4.0),
            ("freeze", "activated", 3.5),
            ("remove", "activated", 3.0),
            ("mean", "matched", 6.0),
        )
        for measure in ("loss_past", "index_without_sink")
        for document in (1, 2)
    ]
    found = dict(rooms.intervention(pd.DataFrame(rows, columns=["mode", "set", "measure", "document", "value"])))
    assert found["freeze_activated_loss_past"].to_dict() == pytest.approx({1: -0.5, 2: -0.5})
    assert found["remove_activated_index"].to_dict() == pytest.approx({1: -1.0, 2: -1.0})
    assert found["mean_matched_loss_past"].to_dict() == pytest.approx({1: 2.0, 2: 2.0})
    assert len(found) == 6


def test_spread_weighs_bins_and_splits_at_one_turn_within_the_training_length():
    rows = []
    for component, frequency, values in ((0, 1.0, (1.0, -1.0)), (1, 0.01, (0.5, 0.1)), (2, 0.0, (9.0, 0.0))):
        for (start, end), value in zip(((0, 2), (2, 8)), values, strict=True):
            rows.append((0, 0, component, start, end, frequency, value))
    columns = ["layer", "head", "component", "distance", "distance_end", "frequency", "contribution"]
    found = dict(rooms.spreads(pd.DataFrame(rows, columns=columns), 8))
    assert found["fast_spread"][0] == pytest.approx(np.std([1, 1, -1, -1, -1, -1, -1, -1]))
    assert found["slow_spread"][0] == pytest.approx(np.std([0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]))


def test_endpoints_hold_every_model_and_no_gap(study):
    frame = pd.read_parquet(study / "tables" / "endpoints.parquet")
    assert list(frame.columns) == ["measure", "encoding", "seed", "unit", "value"]
    assert frame["value"].notna().all()
    assert not frame.duplicated(["measure", "encoding", "seed", "unit"]).any()
    loss = frame[frame["measure"] == "loss_within"]
    assert loss.groupby("encoding")["seed"].nunique().to_dict() == {"rope": 3, "hope": 3, "none": 1, "alibi": 1}
    assert (loss.groupby(["encoding", "seed"])["unit"].nunique() == DOCUMENTS).all()
    assert set(frame[frame["measure"] == "copy_exact_1L"]["unit"]) == set(range(PROMPTS))


def test_every_measure_is_described_once(study, new_study):
    deep = {"tasks": ["needle"], "multiples": [1.0], "prompts": 22}
    more = {
        "documents": DOCUMENTS,
        "strided": {"window": 1.0, "stride": 0.5},
        "extensions": [{"kind": "yarn", "factor": 4}],
    }
    frames = [pd.read_parquet(study / "tables" / "endpoints.parquet")]
    frames.append(written(new_study(seeds={"rope": 1}, retrieval=deep, extrapolation=more)))
    names = pd.concat(frames)["measure"].unique()
    for name in names:
        assert [known.pattern.fullmatch(name) is not None for known in MEASURES].count(True) == 1, name
    unused = [known.name for known in MEASURES if not any(known.pattern.fullmatch(name) for name in names)]
    assert not unused
    assert measure_named("loss_sideways") is None


def test_encoding_that_ends_has_no_endpoints_past_its_end(new_study):
    folder = new_study(seeds={"rope": 1, "learned": 1})
    frame = written(folder)
    learned = set(frame[frame["encoding"] == "learned"]["measure"])
    assert {"loss_within", "context_loss_1L", "copy_accuracy_1L", "index_trained"} <= learned
    rope = set(frame[frame["encoding"] == "rope"]["measure"])
    past = {name for name in rope if name.endswith(("_2L", "_4L", "_8L")) or name == "loss_past"}
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


def test_a_floor_is_told_of_rope_and_hope_alone():
    names = ["rope", "rope_fast", "hope", "hope_two_turns", "hope_slow_only", "hope_random", "p_rope", "none"]
    study = settings(dict.fromkeys(names, 1))
    assert [kernel_floor(study, name) for name in names] == [0.0, 0.0, 0.625, 0.75, None, None, None, None]


def test_kernel_gap_is_the_distance_between_the_two_curves(study):
    table = pd.read_parquet(study / "analysis" / "theory" / "kernel.parquet")
    curves = table[table["distance"] <= LENGTH].pivot(index="distance", columns="encoding")
    frame = pd.read_parquet(study / "tables" / "endpoints.parquet").set_index("measure")["value"]
    value, bound = (np.abs(curves[name]["hope"] - curves[name]["rope"]).mean() for name in ("value", "bound"))
    assert frame["kernel_gap_within"] == pytest.approx(value)
    assert frame["bound_gap_within"] == pytest.approx(bound / ((HEAD_DIM / 2 + 1) / 2))


def test_levels_carry_the_crossed_interval_of_their_matrix(study):
    frame = pd.read_parquet(study / "tables" / "endpoints.parquet")
    part = frame[(frame["measure"] == "loss_2L_4L") & (frame["encoding"] == "hope")]
    low, high = crossed_mean(part.pivot(index="seed", columns="unit", values="value").to_numpy()).interval(0.95)
    row = table(study, "losses").set_index(["measure", "encoding"]).loc[("loss_2L_4L", "hope")]
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
        pd.read_parquet(study / f"analysis/rope/seed{seed}/ushape.parquet").assign(seed=seed) for seed in range(3)
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
    known = settings({"rope": 1})
    assert list(rows["task"].unique()) == known.retrieval.tasks
    assert (rows["trained"] == rows["task"].isin(list(known.mixture.tasks))).all()
    assert rows.set_index("task").loc["recall", "chance"].unique() == pytest.approx([1 / known.tasks.recall.alphabet])
    assert rows["low"].dropna().between(0, 1).all() and rows["high"].dropna().between(0, 1).all()
    assert rows.query("encoding == 'alibi'")["low"].isna().all()


def test_retrieval_tells_the_prompts_of_a_cell_and_their_standard_error(new_study):
    folder = new_study(seeds={"rope": 2}, retrieval={"tasks": ["copy", "needle"], "multiples": [1.0], "prompts": 44})
    write_endpoints(folder)
    rows = table(folder, "retrieval").set_index(["task", "depth"])
    runs = [pd.read_parquet(folder / "evaluation" / "rope" / f"seed{seed}" / "retrieval.parquet") for seed in (0, 1)]
    errors = [run[run["task"] == "copy"]["accuracy"].sem() for run in runs]
    whole = table(folder, "retrieval").query("depth.isna()").set_index("task")
    assert whole["prompts"].to_dict() == {"copy": 44, "needle": 44}
    assert whole.loc["copy", "standard_error"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-4)
    # Of a task with depths, prompts of one number are one unit over all depths, and their own at each.
    errors = [run[run["task"] == "needle"].groupby("example")["accuracy"].mean().sem() for run in runs]
    assert whole.loc["needle", "standard_error"] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-4)
    middle = [run[(run["task"] == "needle") & (run["depth"] == 0.5)]["accuracy"] for run in runs]
    assert rows.loc[("needle", 0.5), "prompts"] == 4
    assert rows.loc[("needle", 0.5), "accuracy"] == pytest.approx(np.mean(middle), rel=1e-4)
    assert list(table(folder, "retrieval").query("task == 'needle'")["depth"].iloc[1:]) == sorted(
        set(runs[0]["depth"].dropna())
    )


def test_model_at_its_ceiling_gets_no_interval_of_width_zero(new_study):
    write_endpoints(folder := new_study(Truth(copy={"rope": 1.0}, **QUIET), seeds={"rope": 3}))
    row = table(folder, "retrieval").query("task == 'copy' and length == @LENGTH").iloc[0]
    assert row["accuracy"] == 1.0
    assert np.isnan(row["low"]) and np.isnan(row["high"])


def test_cost_counts_parameters_tokens_and_time(study):
    rows = table(study, "cost")
    assert len(rows) == 8
    assert (rows["parameters"] == VOCABULARY * 2 * HEAD_DIM).all()
    assert (rows["tokens"] == 20_480).all()
    assert rows["seconds"].to_numpy() == pytest.approx(20_480 / rows["tokens_per_second"].to_numpy(), rel=1e-4)


def test_unit_that_one_seed_lacks_is_left_out(new_study):
    folder = new_study(seeds={"rope": 2, "hope": 2})
    changed(folder / "evaluation/hope/seed1/extrapolation.parquet", lambda frame: frame[frame["document"] != 3])
    found = Observations(written(folder)).matrix("hope", "loss_within")
    assert list(found.columns) == [0, 1, 2, 4, 5, 6, 7]
    assert found.notna().all().all()


@pytest.mark.parametrize(
    "missing",
    [
        "evaluation/rope/seed0/context.parquet",
        "analysis/rope/seed0/ushape.parquet",
        "models/rope/seed0/history.parquet",
        "models/rope/seed0/model.safetensors",
        "analysis/theory/kernel.parquet",
        "study.json",
    ],
)
def test_missing_file_is_one_line_that_names_it(new_study, missing):
    folder = new_study(seeds={"rope": 1})
    (folder / missing).unlink()
    with pytest.raises(UserError) as caught:
        write_endpoints(folder)
    assert missing in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_table_is_one_line_that_names_it(new_study):
    folder = new_study(seeds={"rope": 1})
    (folder / "evaluation/rope/seed0/retrieval.parquet").write_bytes(b"half a ta")
    with pytest.raises(UserError, match=r"retrieval.parquet: cannot be read .*delete it") as caught:
        write_endpoints(folder)
    assert "\n" not in str(caught.value)


def test_an_interval_that_is_missing_is_missing_in_percent_too() -> None:
    assert np.isnan(percent(float("nan")))
    assert percent(np.log(1.01)) == pytest.approx(1.0)
    assert percent(800.0) == float("inf")
