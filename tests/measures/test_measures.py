import numpy as np
import pandas as pd
import pytest

from hope.config import Arm
from hope.measures import MEASURES, Endpoint, attention, interventions, kernels, learning, losses, measured, retrieval
from hope.measures.old_names import side_now
from tests.reporting.make_study import arm_settings


def small(longest: int) -> Arm:
    """Return an arm at L = 8, with contexts of 0.5 L to ``longest`` L."""
    return arm_settings(
        {"rope": 1},
        training={"length": 8},
        mixture={"share": 0.0},
        extrapolation={"longest": longest, "contexts": [m for m in (0.5, 1.0, 2.0, 4.0) if m <= longest], "targets": 2},
        retrieval={"multiples": [0.5, 1.0], "tasks": []},
    )


def windows(*rows: tuple[int, int, int, float]) -> pd.DataFrame:
    """Return an extrapolation table from (document, start, end, nats per token)."""
    columns = {"document": [row[0] for row in rows], "start": [row[1] for row in rows], "end": [row[2] for row in rows]}
    frame = pd.DataFrame(columns).assign(extension="none", window=0)
    return frame.assign(
        tokens=frame["end"] - frame["start"], nll=(frame["end"] - frame["start"]) * [r[3] for r in rows]
    )


def test_losses_are_means_over_tokens_within_a_range():
    frame = windows((5, 0, 2, 1.0), (5, 2, 8, 3.0), (5, 8, 16, 4.0), (5, 16, 32, 6.0), (9, 0, 8, 2.0), (9, 8, 32, 7.0))
    assert losses.loss_within(frame, 8).to_dict() == {5: (2 * 1 + 6 * 3) / 8, 9: 2.0}
    assert losses.loss_past(frame, 8).to_dict() == {5: (8 * 4 + 16 * 6) / 24, 9: 7.0}
    # Document 9's bin of 8 to 32 belongs to no octave, so it is in none.
    assert losses.octave_loss(frame, 8, 2.0).to_dict() == {5: 4.0}
    assert losses.octave_loss(frame, 8, 4.0).to_dict() == {5: 6.0}


def test_windows_of_a_document_are_weighed_by_their_tokens():
    frame = pd.concat([windows((1, 0, 8, 1.0)), windows((1, 0, 8, 2.0)).assign(window=1)])
    assert losses.loss_within(frame, 8).to_dict() == {1: 1.5}


def test_range_that_is_not_measured_from_end_to_end_is_left_out():
    arm = small(4)
    found = measured({"extrapolation": windows((1, 0, 8, 1.0), (1, 8, 16, 2.0))}, arm)
    assert {endpoint for endpoint, _ in found} == {Endpoint("loss_within"), Endpoint("octave_loss", multiple=2.0)}
    assert not list(measured({"extrapolation": windows((1, 4, 8, 1.0), (1, 12, 16, 2.0))}, arm))


def test_octaves_end_at_powers_of_two_up_to_the_longest():
    assert [losses.octaves(longest) for longest in (1, 2, 3, 4, 16)] == [[], [2], [2], [2, 4], [2, 4, 8, 16]]


def test_context_gain_compares_the_same_targets_and_is_positive_where_context_helps():
    frame = pd.DataFrame(
        {"extension": "none", "document": [1, 1, 1, 2, 2, 2], "context": [4, 8, 16] * 2, "tokens": 2}
    ).assign(nll=[10.0, 8.0, 6.0, 4.0, 4.0, 5.0])
    arm = small(4)
    found = dict(measured({"context": frame}, arm))
    assert set(found) == {
        *(Endpoint("context_loss", multiple=multiple) for multiple in (0.5, 1.0, 2.0)),
        Endpoint("context_gain", multiple=2.0),
    }
    assert losses.context_loss(frame, 8, 0.5).to_dict() == {1: 5.0, 2: 2.0}
    assert losses.context_gain(frame, 8, 2.0).to_dict() == {1: 1.0, 2: -0.5}


def test_endpoints_of_a_length_extension_carry_its_label():
    positions = windows((1, 0, 8, 2.0), (1, 8, 16, 5.0))
    frame = pd.concat([positions, positions.assign(extension="yarn-4", nll=positions["nll"] / 2)])
    arm = small(2)
    found = dict(measured({"extrapolation": frame}, arm))
    assert {(each.measure, each.multiple, each.extension): values[1] for each, values in found.items()} == {
        ("loss_within", None, None): 2.0, ("octave_loss", 2.0, None): 5.0,
        ("loss_within", None, "yarn-4"): 1.0, ("octave_loss", 2.0, "yarn-4"): 2.5,
    }  # fmt: skip
    contexts = pd.DataFrame({"document": 1, "context": [8, 16], "tokens": 2, "nll": [8.0, 6.0]})
    both = pd.concat([contexts.assign(extension="none"), contexts.assign(extension="my.ext@2", nll=1.0)])
    found = dict(measured({"context": both}, arm))
    assert found[Endpoint("context_loss", multiple=2.0, extension="my.ext@2")].to_dict() == {1: 0.5}
    gains = {endpoint: values.to_dict() for endpoint, values in found.items() if endpoint.measure == "context_gain"}
    assert gains == {Endpoint("context_gain", multiple=2.0): {1: 1.0}}


def test_windows_that_slide_weigh_every_token_alike():
    frame = pd.DataFrame({"document": [3, 3], "context": [1, 5], "tokens": [4, 12], "nll": [20.0, 36.0]})
    assert losses.strided_loss(frame, 8).to_dict() == {3: 56 / 16}
    assert losses.strided_loss(frame.iloc[:0], 8).empty


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
    assert attention.index_trained(frame, 8).to_dict() == pytest.approx({3: 0.3, 4: 0.35})
    assert attention.index_initial(frame, 8).to_dict() == pytest.approx({3: 100.3, 4: 100.35})
    assert attention.index_shuffled(frame, 8).to_dict() == pytest.approx({3: 200.3, 4: 200.35})


def test_prompts_that_differ_in_depth_alone_are_one_unit():
    rows = [
        ("needle", 8, depth, example, value, int(value == 1), 0.5)
        for depth, values in ((0.0, (1.0, 0.5)), (1.0, (0.5, 0.0)))
        for example, value in enumerate(values)
    ]
    rows += [("copy", 8, None, example, 0.25, 0, None) for example in range(2)]
    columns = ["task", "length", "depth", "example", "accuracy", "exact", "margin"]
    arm = small(4)
    found = dict(measured({"retrieval": pd.DataFrame(rows, columns=columns)}, arm))
    needle, copy = {"task": "needle", "multiple": 1.0}, {"task": "copy", "multiple": 1.0}
    assert found[Endpoint("accuracy", **needle)].to_dict() == {0: 0.75, 1: 0.25}
    assert found[Endpoint("exact", **needle)].to_dict() == {0: 0.5, 1: 0.0}
    assert found[Endpoint("margin", **needle)].to_dict() == {0: 0.5, 1: 0.5}
    assert found[Endpoint("accuracy", **needle, depth=0.0)].to_dict() == {0: 1.0, 1: 0.5}
    assert found[Endpoint("exact", **needle, depth=1.0)].to_dict() == {0: 0, 1: 0}
    assert found[Endpoint("accuracy", **copy)].to_dict() == {0: 0.25, 1: 0.25}
    assert found[Endpoint("margin", **copy)].isna().all()
    assert not [endpoint for endpoint in found if endpoint.task == "copy" and endpoint.depth is not None]
    assert retrieval.accuracy(pd.DataFrame(rows, columns=columns), 8, 0.5).empty


def test_a_depth_is_one_of_the_tasks_and_only_its_class_knows_those_of_an_own_task():
    definitions = {"deep": {"task": "my_tasks:Deep"}, "far": {"task": "passkey", "settings": {"depths": [0.0, 1.0]}}}
    arm = Arm(encodings=["rope"], tasks={"definitions": definitions}, retrieval={"tasks": ["deep", "far"]})

    def lacking(task, depth):
        return MEASURES["exact"].lacking(Endpoint("exact", task=task, multiple=1.0, depth=depth), arm)

    assert [lacking("deep", depth) for depth in (None, 0.5, 1.0)] == ["", "", ""]
    assert [lacking("far", depth) for depth in (None, 1.0)] == ["", ""]
    assert lacking("far", 0.5).endswith("needs 0.5 in the depths of far")


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
    frame = pd.DataFrame(rows, columns=["mode", "set", "measure", "document", "value"])
    changes = interventions.octave_loss_change(frame, 8, "freeze", "activated")
    assert changes.to_dict() == pytest.approx({1: -0.5, 2: -0.5})
    assert interventions.index_change(frame, 8, "remove", "activated").to_dict() == pytest.approx({1: -1.0, 2: -1.0})
    assert interventions.octave_loss_change(frame, 8, "mean", "matched").to_dict() == pytest.approx({1: 2.0, 2: 2.0})
    assert len(dict(measured({"intervention": frame}, arm_settings({"rope": 1})))) == 6


def test_tokens_to_learn_are_those_from_which_on_nine_of_ten_are_likely():
    for likely, tokens in (
        ([0.2, 0.9, 0.95, 1.0], 200.0),  # at the point itself, not between points
        ([0.95, 0.2, 0.91, 0.95], 300.0),  # other tasks came, and are learned too
        ([0.2, 0.95, np.nan, 0.95], 200.0),  # steps without examples do not count
        ([np.nan, np.nan, 0.3, 0.93], 400.0),
        ([0.1, 0.2, 0.3, 0.89], np.inf),  # never reached
        ([0.95, 0.2, 0.3, np.nan], np.inf),
    ):
        history = pd.DataFrame({"step": [1, 2, 3, 4], "tokens": [100, 200, 300, 400], "likely_answers": likely})
        assert {endpoint: dict(values) for endpoint, values in measured({"history": history}, small(4))} == {
            Endpoint("tokens_to_learn"): {0: tokens}
        }


def test_a_training_without_examples_learns_no_answers():
    history = pd.DataFrame({"step": [1, 2], "tokens": [100, 200], "loss": [3.0, 2.0]})
    for without in (history, history.assign(likely_answers=np.nan)):
        assert learning.tokens_to_learn(without, 8).empty
        assert not dict(measured({"history": without}, small(4)))


def test_the_worst_of_all_sizes_counts():
    sizes = pd.DataFrame(
        {
            "head_dim": [64, 64, 128],
            "length": [512, 4096, 4096],
            "base": [1e4, 1e4, 5e5],
            "rope_far": [0.02, 0.30, -0.05],
            "hope_far": [0.51, 0.40, 0.61],
            "hope_floor": [0.50, 0.43, 0.60],
            "bound_gap": [0.03, 0.08, 0.01],
        }
    )
    arm = arm_settings({"rope": 1, "hope": 1})
    # The second size is the worst in all three: its kernel lies below its floor, by more than the others above theirs.
    assert kernels.worst_floor_gap(sizes, arm, "hope") == pytest.approx(0.03)
    assert kernels.worst_rise_above_rope(sizes, arm, "hope") == pytest.approx(0.10)
    assert kernels.worst_bound_gap(sizes, arm, "hope") == pytest.approx(0.08)
    assert kernels.worst_rise_above_rope(sizes.assign(rope_far=[0.6, 0.3, 0.0]), arm, "hope") == pytest.approx(-0.09)
    # They are of the two formulas, whatever the arm's sizes: of HoPE, once.
    for name in ("worst_floor_gap", "worst_rise_above_rope", "worst_bound_gap"):
        assert MEASURES[name].compute(sizes, arm, "rope") is None
        assert MEASURES[name].source.name == "kernel_sizes" and MEASURES[name].unit == "formula"


def test_spread_weighs_bins_and_splits_at_one_turn_within_the_training_length():
    rows = []
    for component, frequency, values in ((0, 1.0, (1.0, -1.0)), (1, 0.01, (0.5, 0.1)), (2, 0.0, (9.0, 0.0))):
        for (start, end), value in zip(((0, 2), (2, 8)), values, strict=True):
            rows.append((0, 0, component, start, end, frequency, value))
    columns = ["layer", "head", "component", "distance", "distance_end", "frequency", "contribution"]
    frame = pd.DataFrame(rows, columns=columns)
    fast, slow = (attention.spread(frame, 8, components)[0] for components in ("fast", "slow"))
    assert fast == pytest.approx(np.std([1, 1, -1, -1, -1, -1, -1, -1]))
    assert slow == pytest.approx(np.std([0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]))
    assert attention.spread(frame[frame["component"] == 0], 8, "slow").empty


def test_a_key_has_words_and_a_name_among_metrics():
    past = Endpoint("octave_loss", multiple=4.0)
    deep = Endpoint("accuracy", task="copy", multiple=0.25, depth=0.5)
    frozen = Endpoint("index_change", intervention="freeze", components="activated")
    assert past.words == "loss from 2L to 4L" and past.metric == "extrapolation/octave_loss_4L"
    assert deep.words == "copy accuracy at L/4, depth 0.5"
    assert deep.metric == "retrieval/accuracy_copy_0.25L_depth0.5"
    assert frozen.words == "change of the U-shape index, activated components frozen"
    assert Endpoint("loss_within", extension="yarn-4").words == "loss within L, yarn-4"
    row = {**dict.fromkeys(past.columns, np.nan), "measure": "octave_loss", "multiple": 4.0, "encoding": "rope"}
    assert Endpoint.of(row) == past


def test_an_old_name_has_one_new_form():
    written = {
        "loss_2L_4L": "measure: octave_loss, multiple: 4",
        "loss_2.0L_4L@mine_4.0": "measure: octave_loss, multiple: 4, extension: mine_4.0",
        "context_loss_0.5L": "measure: context_loss, multiple: 0.5",
        "loss_past@ntk-4": "measure: loss_past, extension: ntk-4",
        "few_shot_accuracy_1L": "measure: accuracy, task: few_shot, multiple: 1",
        "needle_exact_1L_depth0.50": "measure: exact, task: needle, multiple: 1, depth: 0.5",
        "remove_slow_loss_past": "measure: octave_loss_change, intervention: remove, components: slow",
        "fast_spread": "measure: spread, components: fast",
    }
    assert {name: side_now("hope", name) for name in written} == {
        name: f"{{encoding: hope, {side}}}" for name, side in written.items()
    }
    for name in ("loss_1L_4L", "context_gain_4L@yarn-4", "freeze_some_index", "loss_sideways", *MEASURES):
        assert side_now("hope", name) == ""
