"""Parameters and FLOPs, against the decoder itself and PyTorch's own counters."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hope import config
from hope.catalogue import FAMILIES, family_settings
from hope.config.data import SPECIAL_TOKENS
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.plan.compute import forward, measuring_flops, training_flops
from hope.plan.sizes import count_parameters, vocabulary_of
from tests.conftest import tiny_arm

PRESETS = Path(__file__).parents[2] / "workflow" / "presets"
SHAPES = [
    config.Model(layers=3, width=48, heads=4, mlp_width=80),
    config.Model(layers=2, width=64, heads=8, kv_heads=2, mlp_width=96, tied_embeddings=False),
]


def made(shape: config.Model, encoding: config.EncodingSpec, vocabulary: int, length: int) -> Decoder:
    with torch.device("meta"):
        return Decoder(shape, vocabulary, length, encoding)


def numbers(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_parameters_are_those_of_the_decoder(shape: config.Model) -> None:
    for family in FAMILIES:
        encoding = config.EncodingSpec(name=family, family=family, settings=family_settings(family, {}))
        decoder, found = made(shape, encoding, 700, 128), count_parameters(shape, encoding, 700, 128)
        assert found.total == numbers(decoder), family
        assert found.encoding == numbers(decoder.encoding)
        assert found.embedding == numbers(decoder.embedding)
        assert found.head == (numbers(decoder.head) if decoder.head is not None else 0)
    # Only the class knows what an encoding of the user's own learns.
    encoding = config.EncodingSpec(name="mine", family="mine:Mine")
    assert count_parameters(shape, encoding, 700, 128).encoding is None


@pytest.mark.parametrize(
    ("preset", "total"), [("gpu-124m", 124e6), ("gpu-350m", 354e6), ("gpu-1b", 1.25e9), ("paper-3b", 2.8e9)]
)
def test_a_preset_has_the_parameters_that_its_name_says(preset: str, total: float) -> None:
    arm = config.load_study([PRESETS.parents[1] / "config.yaml", PRESETS / f"{preset}.yaml"]).arms["text"]
    vocabulary = vocabulary_of(arm)
    found = count_parameters(arm.model, arm.encoding("hope"), vocabulary, arm.training.length)
    assert found.total == numbers(made(arm.model, arm.encoding("hope"), vocabulary, arm.training.length))
    assert found.total == pytest.approx(total, rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_flops_are_those_that_pytorch_counts(shape: config.Model) -> None:
    vocabulary, length, windows = 700, 64, 3
    decoder = made(shape, config.EncodingSpec(name="none", family="none"), vocabulary, length)
    tokens = torch.zeros(windows, length, dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as counter:
        logits = decoder.logits(decoder(tokens))
        once = counter.get_total_flops()
        logits.sum().backward()
    found = forward(shape, vocabulary, length, windows)
    # PyTorch counts attention to all keys, and causality leaves (length + 1) / 2 of them on average.
    everything = found.layers + found.head + found.attention * 2 * length / (length + 1)
    assert once == everything
    backward = counter.get_total_flops() - once
    # Attention's backward pass computes the logits once more, where it does not keep them.
    assert backward == pytest.approx(2 * everything, rel=0.1)


def test_a_training_counts_three_passes_and_four_where_layers_are_computed_again(tiny_files: Path) -> None:
    arm = tiny_arm(tiny_files)
    once = forward(arm.model, 512, 32, arm.training.steps * 8)
    assert training_flops(arm, 512) == (3 * once.total, 3 * once.total)
    again = tiny_arm(tiny_files, training={"activation_checkpointing": True})
    assert training_flops(again, 512) == (3 * once.total, 3 * once.total + once.layers + once.attention)


def test_measuring_grows_with_what_is_measured(tiny_files: Path) -> None:
    arm = tiny_arm(tiny_files)
    less = measuring_flops(arm, 512, rotary=False)
    assert measuring_flops(arm, 512, rotary=True) > less
    none = tiny_arm(tiny_files, retrieval={"tasks": []})
    assert measuring_flops(none, 512, rotary=False) < less
    # By hand: one window of 8 L and its contexts, nothing else.
    alone = tiny_arm(
        tiny_files,
        retrieval={"tasks": []},
        extrapolation={"documents": 2, "windows": 1, "longest": 2, "contexts": [1.0, 2.0]},
        analysis={"documents": 2, "multiples": [1.0]},
    )
    parts = [forward(alone.model, 512, 64, 2).total, forward(alone.model, 512, 32, 2).body]
    targets = forward(alone.model, 512, alone.extrapolation.targets, 2).head
    analysis = forward(alone.model, 512, 32, 2)
    moments = len(alone.training.snapshot_steps) + 2
    attention = 3 * analysis.body + (moments * (analysis.body + analysis.total) if moments > 2 else 0.0)
    assert measuring_flops(alone, 512, rotary=False) == pytest.approx(sum(parts) + targets + attention, rel=1e-12)


def test_the_vocabulary_is_what_the_config_or_the_tokenizer_says(tiny_files: Path, tmp_path: Path) -> None:
    arm = tiny_arm(tiny_files)
    assert vocabulary_of(arm) == 512
    assert vocabulary_of(arm, given=999) == 999
    tokenizer = tmp_path / "tokenizer.json"
    # As the tokenizers library writes it: ids with gaps, and added tokens behind them.
    content = {"model": {"vocab": {"a": 0, "b": 7}}, "added_tokens": [{"id": 9, "content": "<|x|>"}]}
    tokenizer.write_text(json.dumps(content), encoding="utf-8")
    tokens = {"tokenizer": "pretrained", "pretrained": str(tokenizer)}
    assert vocabulary_of(tiny_arm(tiny_files, tokens=tokens)) == 10 + 4
    assert vocabulary_of(tiny_arm(tiny_files, tokens=tokens | {"pretrained": str(tmp_path)})) == 10 + 4


@pytest.mark.parametrize("ours", [False, True])
def test_a_tokenizer_read_here_has_as_many_ids_as_the_library_finds(
    ours: bool, tiny_data: Path, tiny_files: Path, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer, models

    from hope.data.tokenizer import SPECIAL, load_pretrained, vocabulary_size

    assert set(SPECIAL_TOKENS) == set(SPECIAL.values())
    path = tiny_data / "tokenizer" / "tokenizer.json"
    if not ours:
        path = tmp_path / "tokenizer.json"
        Tokenizer(models.WordLevel({"a": 0, "b": 9}, unk_token="a")).save(str(path))
    arm = tiny_arm(tiny_files, tokens={"tokenizer": "pretrained", "pretrained": str(path)})
    assert vocabulary_of(arm) == vocabulary_size(load_pretrained(arm.tokens))


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        (
            {"tokenizer": "pretrained", "pretrained": "someone/unknown", "revision": "0" * 40},
            "tokens.pretrained: the size of 'someone/unknown' is not known before it is loaded",
        ),
        ({"tokenizer": "pretrained", "pretrained": str(PRESETS)}, "tokens.pretrained"),
    ],
)
def test_a_tokenizer_of_unknown_size_is_one_line(tokens: dict, line: str, tiny_files: Path) -> None:
    with pytest.raises(UserError, match=line):
        vocabulary_of(tiny_arm(tiny_files, tokens=tokens))
