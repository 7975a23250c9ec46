"""What names a training: all that its weights depend on, and nothing else."""

import pytest

from hope.config import Training
from hope.config.training import WHERE_IT_RUNS
from hope.training.fingerprint import differing_keys, fingerprint, identity, run_name
from tests.training.conftest import with_training

OTHERS = {
    "length": 64,
    "tokens": 5000,
    "batch_windows": 16,
    "micro_batch_windows": 4,
    "learning_rate": 1e-3,
    "final_learning_rate": 1e-4,
    "warmup_steps": 7,
    "weight_decay": 0.2,
    "betas": (0.8, 0.95),
    "clip": 2.0,
    "precision": "bfloat16",
    "zero_stage": 1,
    "offload": True,
    "activation_checkpointing": True,
    "compile": True,
    "threads": 2,
    "processes": 2,
    "nodes": 2,
    "hostfile": "hosts",
    "checkpoint_seconds": 1.0,
    "log_steps": 3,
    "snapshots": 5,
    "spike_factor": 3.0,
    "bad_steps": 9,
    "retries": 5,
}


def test_every_setting_is_thought_of():
    assert set(OTHERS) | {"windows"} == set(Training.model_fields)


@pytest.mark.parametrize("key", OTHERS)
def test_a_setting_of_the_training_is_part_of_it_unless_it_says_where_it_runs(key, stage):
    changed = with_training(stage, **{key: OTHERS[key]})
    assert getattr(changed.training, key) != getattr(stage.training, key)
    same = fingerprint(changed, "data") == fingerprint(stage, "data")
    assert same == (key in WHERE_IT_RUNS)
    found = differing_keys(identity(changed, "data"), identity(stage, "data"))
    assert found == ([] if same else [f"training.{key}"])


def test_seed_encoding_model_and_data_are_part_of_it(stage):
    windows = stage.training.windows.model_copy(update={"boundaries": "crossed"})
    others = [
        (stage.model_copy(update={"seed": 2}), "data"),
        (stage.model_copy(update={"encoding": stage.encoding.model_copy(update={"name": "mine"})}), "data"),
        (stage.model_copy(update={"model": stage.model.model_copy(update={"layers": 3})}), "data"),
        (stage.model_copy(update={"mixture": stage.mixture.model_copy(update={"weight": 0.5})}), "data"),
        (with_training(stage, windows=windows), "data"),
        (stage, "other data"),
    ]
    names = {run_name(other, fingerprint(other, data)) for other, data in [(stage, "data"), *others]}
    assert len(names) == 1 + len(others)
    assert differing_keys(identity(others[0][0], "data"), identity(stage, "other data")) == ["data", "seed"]


def test_what_is_trained_and_where_make_up_the_whole(stage):
    changed = with_training(stage, **OTHERS).training
    assert fingerprint(stage.model_copy(update={"training": changed.what_is_trained()}), "data") == fingerprint(
        stage.model_copy(update={"training": changed}), "data"
    )
    again = Training.model_validate({**changed.what_is_trained().model_dump(), **changed.where_it_runs()})
    assert again == changed
