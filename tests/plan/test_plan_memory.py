"""The estimated memory against autograd, DeepSpeed's defaults, and whole trainings."""

import functools
from typing import Any

import pytest
import torch
from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

from benchmarks.memory import CASES, HEAVY, LONG, WITHIN, compare
from hope import config
from hope.analysis import intervention
from hope.catalogue import FAMILIES, family_settings
from hope.config import Model, Training
from hope.model import loss
from hope.model.decoder import Decoder
from hope.plan import activations, compute, memory
from hope.plan.activations import Pass
from hope.plan.memory import fullest, training_memory
from hope.training.engine import engine_config
from tests.encodings.logits_of import KINDS

SHAPES = {
    "own keys": Model(layers=2, width=64, heads=4, mlp_width=192),
    "grouped keys": Model(layers=2, width=48, heads=6, kv_heads=2, mlp_width=80),
}
NUMBERS = {torch.float32: 4, torch.bfloat16: 2}
MORE = 3
"""Layers of the larger decoder that the smaller one lacks: what one layer keeps is a difference over these."""


def one_pass(shape: Model, kind: Any = "cpu", number: int = 4, recompute: bool = False, windows: int = 2) -> Pass:
    return Pass(shape, 300, windows, 32, number, kind, recompute)


@functools.cache
def kept_by_autograd(name: str, more: int, dtype: torch.dtype, recompute: bool = False, family: str = "hope") -> int:
    """Return the bytes of all that a decoder's forward pass saves for its backward pass, weights aside."""
    shape = SHAPES[name].model_copy(update={"layers": SHAPES[name].layers + more})
    encoding = config.EncodingSpec(name=family, family=family, settings=family_settings(family, {}))
    decoder = Decoder(shape, 300, 32, encoding, recompute).initialise(0).to(dtype)
    weights = {parameter.untyped_storage().data_ptr() for parameter in decoder.parameters()}
    found: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = tensor  # held, so that no other storage gets its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = decoder(torch.zeros(2, 32, dtype=torch.int64))
    assert result.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in found.values())


def kept_by_a_layer(name: str, *rest: Any) -> float:
    return (kept_by_autograd(name, MORE, *rest) - kept_by_autograd(name, 0, *rest)) / MORE


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("dtype", NUMBERS)
def test_the_layers_and_the_last_norm_keep_what_autograd_saves(name: str, dtype: torch.dtype) -> None:
    one, saved = one_pass(SHAPES[name], number=NUMBERS[dtype]), kept_by_autograd(name, 0, dtype)
    assert one.layer == kept_by_a_layer(name, dtype)
    # Besides: token ids, and the tables of the rotation.
    assert 0 <= saved - one.kept - one.last_norm < 0.05 * saved


@pytest.mark.parametrize("name", SHAPES)
def test_a_layer_that_is_computed_again_keeps_its_input_alone(name: str) -> None:
    saved, one = kept_by_a_layer(name, torch.float32, True), one_pass(SHAPES[name], recompute=True)
    assert one.stream == saved
    assert one.kept == SHAPES[name].layers * saved


@pytest.mark.parametrize("family", [name for name in KINDS if FAMILIES[name].kernel == "fused"])
def test_only_those_that_are_named_keep_more(family: str) -> None:
    saved = kept_by_a_layer("own keys", torch.float32, False, family)
    assert (saved > one_pass(SHAPES["own keys"]).layer) == FAMILIES[family].own_queries


def test_constants_are_those_of_the_code_that_they_speak_of() -> None:
    assert activations.CHUNK_LOGITS == {"cpu": loss.CHUNK_LOGITS_ON_CPU, "gpu": loss.CHUNK_LOGITS}
    assert activations.FEWEST_ROWS["cpu"] == loss.FEWEST_ROWS_ON_CPU
    assert compute.INTERVENTION_RUNS == intervention.MOST_RUNS
    zero = DeepSpeedZeroConfig(**engine_config(Training(zero_stage=3))["zero_optimization"])
    assert zero.reduce_bucket_size == memory.BUCKET
    assert zero.max_live_parameters == memory.GATHERED


@pytest.mark.parametrize("number", [4, 2])
def test_more_processes_share_the_optimiser_and_stage_3_the_weights(number: int) -> None:
    training = Training(batch_windows=16, precision="float32" if number == 4 else "bfloat16")
    one, parameters = one_pass(SHAPES["own keys"], "gpu", number), 3_000_000_000

    def held(stage: int, world: int) -> Any:
        return fullest(training_memory(training, one, parameters, stage, world))

    master = {0: 0 if number == 4 else 4}
    for stage in range(4):
        alone, shared = held(stage, 1), held(stage, 8)
        state = (master.get(stage, 4) + 8) * parameters
        assert alone.optimizer == state
        assert shared.optimizer == (state if stage == 0 else state / 8)
        assert shared.weights == number * parameters / (8 if stage == 3 else 1)
        assert stage == 0 or shared.total < alone.total
    totals = [held(stage, 8).total for stage in (0, 1, 2)]
    assert totals == sorted(totals, reverse=True)


def test_offload_moves_the_optimisers_state_to_the_host() -> None:
    one, parameters = one_pass(SHAPES["own keys"], "gpu", 2), 1_000_000_000
    moments = {
        offload: fullest(
            training_memory(Training(precision="bfloat16", offload=offload), one, parameters, stage=2, world=4)
        )
        for offload in (False, True)
    }
    assert moments[True].optimizer == 0 and moments[False].host == 0
    assert moments[True].host >= moments[False].optimizer == 12 * parameters / 4
    assert moments[True].total < moments[False].total


def test_recomputation_and_smaller_micro_batches_take_less() -> None:
    shape = Model(layers=12, width=256, heads=4, mlp_width=688)
    totals = [
        fullest(training_memory(Training(), one_pass(shape, "gpu", 2, recompute, windows), 10_000_000, 0, 1)).total
        for recompute, windows in ((False, 8), (False, 4), (True, 4))
    ]
    assert totals == sorted(totals, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        HEAVY | {"windows": 2},
        LONG | {"windows": 2, "activation_checkpointing": True},
        CASES["heavy, stage 2, two processes"],
    ],
    ids=["45M parameters", "activations", "two processes"],
)
def test_the_peak_of_a_real_training_is_within_fifteen_percent(case: dict[str, Any]) -> None:
    found = compare(case)
    assert abs(found["ratio"] - 1) <= WITHIN, found
