"""Extended models read token by token with a cache, against one pass and against a loop that keeps nothing rotated."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from hope import config
from hope.encodings.extensions import extended, refusal
from hope.model.cache import GrowingCache
from hope.model.decoder import Decoder
from tests.encodings.logits_of import named

LENGTH, TOTAL = 24, 36
STATIC = [
    dict(kind="linear", factor=4.0),
    dict(kind="ntk", factor=4.0),
    dict(kind="ntk", factor=4.0, slowest="kept"),
    dict(kind="yarn", factor=4.0),
    dict(kind="rerope", window=0.5),
]
LONGROPE = dict(kind="longrope", factor=4.0, short=[1.0] * 8, long=[1.0 + j for j in range(8)])
RESIZED = [dict(kind="dynamic-ntk", factor=1.0), dict(kind="dynamic-ntk", factor=2.0, slowest="kept"), LONGROPE]
IDS = torch.randint(64, (2, TOTAL), generator=torch.Generator().manual_seed(3))


def loud_decoder(family: str, layers: int = 2) -> Decoder:
    """Return a decoder with weights so large that a fault in the attention shows."""
    shape = config.Model(layers=layers, width=64, heads=4, kv_heads=2, mlp_width=48)
    model = Decoder(shape, 64, LENGTH, named(family)).initialise(0).eval().double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(8 if "embedding" not in name else 20)
    return model


def in_steps(model: Decoder, tokens: Tensor, prompt: int = 1) -> Tensor:
    """Return the hidden states when a prompt is read at once, and the rest token by token."""
    cache = GrowingCache()
    parts = [model(tokens[:, :prompt], cache=cache)]
    parts += [model(tokens[:, at : at + 1], cache=cache) for at in range(prompt, tokens.shape[1])]
    return torch.cat(parts, dim=1)


def applying(model: Decoder, contents: list[dict[str, Any]]) -> list[config.Extension]:
    each = [TypeAdapter(config.Extension).validate_python(content) for content in contents]
    return [extension for extension in each if refusal(model.encoding, extension) is None]


@pytest.mark.parametrize(("family", "number"), [("rope", 4), ("hope", 5), ("clipped_rope", 5)])
@torch.inference_mode()
def test_static_extensions_read_token_by_token_equal_one_pass(family: str, number: int) -> None:
    model = loud_decoder(family)
    plain, extensions = model(IDS), applying(model, STATIC)
    assert len(extensions) == number
    for extension in extensions:
        with extended(model, extension):
            whole = model(IDS)
            torch.testing.assert_close(in_steps(model, IDS), whole, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(in_steps(model, IDS, LENGTH + 4), whole, atol=1e-4, rtol=1e-4)
        assert (whole[:, -1] - plain[:, -1]).abs().max() > 1e-2
    assert torch.equal(model(IDS), plain)


@pytest.mark.parametrize("family", ["rope", "hope"])
@torch.inference_mode()
def test_the_newest_token_of_a_single_layer_reads_as_in_one_pass_of_as_many(family: str) -> None:
    model = loud_decoder(family, layers=1)
    for extension in applying(model, RESIZED):
        with extended(model, extension):
            stepped = in_steps(model, IDS)
            for total in (LENGTH - 1, LENGTH, LENGTH + 1, LENGTH + 2, TOTAL):
                one = model(IDS[:, :total])[:, -1]
                torch.testing.assert_close(stepped[:, total - 1], one, atol=1e-4, rtol=1e-4)


def stepped_by_hand(model: Decoder, tokens: Tensor) -> Tensor:
    """Return the hidden states of a loop that turns all keys anew, by complex numbers, for every token."""
    shape = model.shape
    heads, kv_heads, dim = shape.heads, shape.kv_heads or shape.heads, shape.head_dim
    held: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in model.blocks]
    states = []

    def as_complex(vectors: Tensor) -> Tensor:
        return torch.complex(*vectors.double().chunk(2, dim=-1))

    for at in range(tokens.shape[1]):
        angles = model.encoding.frequencies(at + 1)
        sharpness = model.encoding.sharpness
        hidden = model.embedding(tokens[:, at])
        for block, (keys, values) in zip(model.blocks, held, strict=True):
            made = block.attention.qkv(block.attention_norm(hidden)).view(len(tokens), -1, dim)
            query, key, value = made.split((heads, kv_heads, kv_heads), dim=1)
            keys.append(key)
            values.append(value)
            turns = torch.exp(1j * torch.arange(at + 1)[:, None, None].double() * angles)
            turned = sharpness * as_complex(torch.stack(keys, dim=1)) * turns
            asked = sharpness * as_complex(query) * turns[at]
            grouped = turned.repeat_interleave(heads // kv_heads, dim=2)
            logits = (asked[:, None] * grouped.conj()).real.sum(dim=-1) * dim**-0.5
            weights = logits.softmax(dim=1).float()
            spread = torch.stack(values, dim=1).repeat_interleave(heads // kv_heads, dim=2)
            mixed = (weights[..., None] * spread).sum(dim=1).flatten(1)
            hidden = hidden + block.attention.output(mixed)
            hidden = hidden + block.mlp(block.mlp_norm(hidden))
        states.append(model.norm(hidden))
    return torch.stack(states, dim=1)


@pytest.mark.parametrize("family", ["rope", "hope"])
@torch.inference_mode()
def test_token_by_token_all_keys_turn_by_the_angles_of_the_newest_length(family: str) -> None:
    model = loud_decoder(family)
    for extension in applying(model, RESIZED):
        with extended(model, extension):
            stepped = in_steps(model, IDS)
            torch.testing.assert_close(stepped, stepped_by_hand(model, IDS), atol=1e-3, rtol=1e-3)
            whole, within = model(IDS), model(IDS[:, :LENGTH])
            torch.testing.assert_close(stepped[:, :LENGTH], within, atol=1e-4, rtol=1e-4)
            # Two layers: what earlier tokens passed on was made under the angles of their own lengths.
            assert (stepped[:, -1] - whole[:, -1]).abs().max() > 1e-2
            if extension.kind == "longrope":  # whose angles change once
                torch.testing.assert_close(in_steps(model, IDS, LENGTH + 1), whole, atol=1e-4, rtol=1e-4)
