"""Stock checkpoints of many architectures, unconverted, against transformers' own attention, losses and rotations."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForCausalLM,
    CodeGenConfig,
    CTRLConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoConfig,
    GptOssConfig,
    MambaConfig,
)

from hope.analysis.intervened_model import intervened
from hope.analysis.profile import Profile
from hope.analysis.stream import Scope, observe_attention
from hope.config.extensions import LinearScaling
from hope.encodings.extensions import extended
from hope.encodings.rotary import Rotary
from hope.errors import UserError
from hope.interchange.causal_lm import CausalLM
from hope.interchange.stock_model import encoding_of, open_stock
from hope.model.loss import token_losses
from tests.interchange.architectures import IDS, LENGTH, OTHERS, ROTARY, WINDOW, made, tokens

QUERIES = 4
SWEPT = ROTARY | OTHERS


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Return a function that opens the checkpoint of an architecture, once."""
    folder, models = tmp_path_factory.mktemp("stock"), {}

    def model(name: str) -> CausalLM:
        if name not in models:
            made(name).save_pretrained(folder / name)
            models[name] = open_stock(folder / name)
        return models[name]

    return model


@pytest.mark.parametrize("name", SWEPT)
def test_attention_and_losses_are_those_of_transformers(name, opened):
    """Over 48 tokens, six times the sliding window where there is one."""
    model, ids = opened(name), tokens()
    scope = Scope(model.shape.layers, model.shape.heads, [LENGTH // 2, LENGTH], QUERIES, len(ids))
    profile = Profile(scope)
    losses = observe_attention(model, ids, scope, [profile], losses=True)
    stock, whole = made(name), name != "falcon-alibi"
    if not whole:  # transformers' plain attention adds the bias twice there, its fused one once
        stock.config._attn_implementation = "sdpa"
    with torch.no_grad():
        theirs = stock(ids[:, :-1], output_attentions=whole, use_cache=False)
    expected = F.cross_entropy(theirs.logits.transpose(1, 2), ids[:, 1:], reduction="none")
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-4)
    if whole:
        assert len(theirs.attentions) == model.shape.layers
        for end in scope.ends:
            maps = torch.stack(theirs.attentions)[..., end - QUERIES : end, :end].mean(dim=(1, 3))
            np.testing.assert_allclose(profile.mass(end, "key"), maps.numpy(), atol=1e-5)
    assert model.shape.heads == 4 and model.training_length == LENGTH


@pytest.mark.parametrize("name", ROTARY)
def test_the_rotation_is_found(name, opened):
    model = opened(name)
    assert isinstance(model.encoding, Rotary)
    assert model.turned_layers == ROTARY[name][2]
    assert int((model.encoding.frequencies > 0).sum()) == ROTARY[name][3]
    assert len(model.encoding.frequencies) == model.shape.head_dim // 2


def test_the_rotation_is_found_beside_a_padding_row_of_zeros(tmp_path):
    model = made("llama", attention_bias=False, pad_token_id=0)
    ids = tokens()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    with torch.no_grad():
        model.get_input_embeddings().weight[0] = 0
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    assert not model.get_input_embeddings().weight[0].any()
    model.save_pretrained(tmp_path)
    opened = open_stock(tmp_path)
    assert opened.turned_layers == [0, 1, 2]
    torch.testing.assert_close(opened.encoding.frequencies.float(), model.model.rotary_emb.inv_freq)


def test_queries_of_zeros_show_no_rotation(tmp_path):
    model = made("llama")
    with torch.no_grad():
        for parameter in model.model.layers[1].self_attn.q_proj.parameters():
            parameter.zero_()
    model.save_pretrained(tmp_path)
    opened = open_stock(tmp_path)
    assert opened.turned_layers == [] and "none that is known" in opened.no_components


FROZEN = ("llama", "llama-yarn", "mistral", "phi3", "gemma2", "gemma3", "smollm3", "gpt-neox", "falcon", "deepseek-v3",
          "cohere2")  # fmt: skip


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_component_has_angle_0_in_the_model_of_transformers_too(name, opened):
    model, ids, theirs = opened(name), tokens(), made(name)
    chosen = [0, 1]
    for key, buffer in theirs.named_buffers():
        # In Gemma 3 the layers with sliding windows have a rotation of their own, which stays.
        if key.endswith("inv_freq") and "sliding" not in key:
            buffer[chosen] = 0.0
    with torch.inference_mode():
        before = model.logits(model(ids[:, :-1]))
        with intervened(model, chosen, "freeze"):
            changed = model.logits(model(ids[:, :-1]))
        after = model.logits(model(ids[:, :-1]))
        expected = theirs(ids[:, :-1], use_cache=False).logits
    assert torch.equal(before, after)
    assert (before - expected).abs().max() > 0.01 * expected.std()
    torch.testing.assert_close(changed, expected, rtol=0, atol=2e-4 * float(expected.std()))


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "phi3"])
def test_removed_components_are_missing_from_the_logits(name, opened):
    """All of them removed: every key that a query sees gets the same weight, inside the window."""
    model, ids = opened(name), tokens(1)
    every, shown = range(model.shape.head_dim // 2), []
    with torch.inference_mode(), intervened(model, every, "remove"):
        model(ids[:, :-1], observe=lambda seen: shown.append(seen.logits(LENGTH - 1, LENGTH).softmax(-1)))
    full = name == "llama"
    for layer, weights in enumerate(shown):
        windowed = not full and not (name == "gemma2" and layer % 2)
        seen = WINDOW if windowed else LENGTH
        assert weights[0, 0, 0, -seen:].numpy() == pytest.approx(1 / seen, rel=1e-4)


def test_an_extension_is_that_of_transformers(opened):
    for name in ("llama", "gpt-neox"):
        settings = SWEPT[name][1].get("rope_parameters", {})
        theirs = made(name, rope_parameters={"rope_theta": 1e4} | settings | {"rope_type": "linear", "factor": 2.0})
        model, ids = opened(name), tokens(1, 2 * LENGTH)
        with torch.inference_mode(), extended(model, LinearScaling(kind="linear", factor=2.0)):
            logits = model.logits(model(ids[:, :-1]))
        with torch.no_grad():
            expected = theirs(ids[:, :-1], use_cache=False).logits
        torch.testing.assert_close(logits, expected, rtol=0, atol=2e-4 * float(expected.std()))


@pytest.mark.parametrize(
    ("name", "family", "settings"),
    [
        ("llama", "rope", {"base": 1e4}),
        ("llama-3", "rotary", None),
        ("llama-hope", "p_rope", None),
        ("gpt-neox", "p_rope", None),
        ("gemma3", "rope", None),
        ("gpt2", "learned", {}),
        ("bloom", "alibi", {}),
        ("mpt", "alibi", {}),
        ("falcon-alibi", "alibi", {}),
        ("opt", "learned", {}),
        ("gptj", "none", {}),
    ],
)
def test_the_encoding_is_named(name, family, settings, opened):
    found = encoding_of(opened(name))
    assert found.family == family
    assert settings is None or found.settings == settings


def test_a_rotary_module_that_is_not_used_turns_nothing(opened):
    """Falcon makes one with ALiBi too."""
    assert opened("falcon-alibi").no_components == "it turns no queries and keys"


@pytest.mark.parametrize("name", ["bloom", "mpt"])
def test_weights_with_a_linear_bias_are_those_by_hand(name, opened):
    """The first layer: queries, keys and slopes 2^(-8h/H) put together here."""
    model, ids = opened(name), tokens(1, 6)[:, :-1]
    shown: list[torch.Tensor] = []
    with torch.inference_mode():
        model(ids, observe=lambda seen: shown.append(seen.logits(0, 6).softmax(-1)[0]))
        inner = model.stock.transformer
        if name == "bloom":
            block = inner.h[0]
            hidden = block.input_layernorm(inner.word_embeddings_layernorm(inner.word_embeddings(ids)))[0]
            queries, keys, _ = block.self_attention.query_key_value(hidden).view(6, 4, 3, 8).unbind(2)
        else:
            block = inner.blocks[0]
            fused = block.attn.Wqkv(block.norm_1(inner.wte(ids)))[0]
            queries, keys, _ = (part.view(6, 4, 8) for part in fused.chunk(3, dim=-1))
    for head in range(4):
        for query in range(6):
            logits = [
                float(queries[query, head] @ keys[key, head]) / math.sqrt(8) - 2.0 ** (-2 * (head + 1)) * (query - key)
                for key in range(query + 1)
            ]
            weights = np.exp(logits) / np.exp(logits).sum()
            np.testing.assert_allclose(shown[0][head, query, : query + 1].numpy(), weights, rtol=1e-4)
            assert (shown[0][head, query, query + 1 :] == 0).all()


def test_positions_end_where_a_model_has_no_more(opened):
    ends = {name: opened(name).encoding.longest for name in ("gpt2", "opt", "mpt", "bloom", "llama")}
    assert ends == {"gpt2": LENGTH, "opt": LENGTH, "mpt": LENGTH, "bloom": None, "llama": None}


def test_frequencies_that_change_with_the_length_are_known_up_to_there(tmp_path):
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": 24}
    cases = ("llama", "dynamic", {"factor": 2.0}, LENGTH), ("phi3", "longrope", factors, 24)
    for name, kind, settings, span in cases:
        rope = {"rope_parameters": {"rope_type": kind, "rope_theta": 1e4, **settings}}
        whole = {"partial_rotary_factor": 1.0, "original_max_position_embeddings": 24} if name == "phi3" else {}
        made(name, **rope, **whole).save_pretrained(tmp_path / name)
        assert open_stock(tmp_path / name).encoding.span == span


def test_every_pass_has_the_dynamic_frequencies_of_a_first_one(tmp_path):
    rope = {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}}
    made("llama", **rope).save_pretrained(tmp_path)
    model, ids = open_stock(tmp_path), tokens(1, 8 * LENGTH)
    for length in (8 * LENGTH, 2 * LENGTH, LENGTH, 2 * LENGTH, LENGTH // 2):
        with torch.no_grad():
            logits = made("llama", **rope)(ids[:, :length], use_cache=False).logits[0]
        expected = F.cross_entropy(logits, ids[0, 1 : length + 1], reduction="none")
        torch.testing.assert_close(token_losses(model, ids[:, : length + 1])[0], expected, rtol=1e-4, atol=1e-4)


def test_the_untrained_model_is_made_by_transformers_and_always_the_same(opened):
    model = opened("gemma3")
    one, other = model.untrained(), model.untrained()
    assert one.turned_layers == model.turned_layers
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    assert all(same) and not torch.equal(next(one.parameters()), next(model.parameters()))


def test_positions_that_are_added_without_a_table_are_not_called_none(tmp_path):
    config = CTRLConfig(vocab_size=62, n_embd=32, n_layer=2, n_head=4, n_positions=LENGTH, dff=24)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    assert encoding_of(open_stock(tmp_path)).name == "unknown"


OLD = IDS | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": LENGTH}
NEO = IDS | {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
             "window_size": WINDOW, "max_position_embeddings": LENGTH}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "masks"),
    [
        (GPT2Config(**OLD), ("attn.bias", "attn.masked_bias")),
        (GPTNeoConfig(**NEO), ("attn.attention.bias", "attn.attention.masked_bias")),
        (GPTJConfig(**OLD, rotary_dim=4), ("attn.bias", "attn.masked_bias")),
        (CodeGenConfig(**OLD, rotary_dim=4), ("attn.causal_mask",)),
    ],
    ids=lambda given: getattr(given, "model_type", ""),
)
def test_causal_masks_of_older_checkpoints_are_no_weights(config, masks, tmp_path):
    from safetensors.torch import load_file, save_file

    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    older = {f"transformer.h.1.{name}": torch.ones(1, 1, LENGTH, LENGTH) for name in masks}
    save_file(weights | older, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert open_stock(tmp_path).training_length == LENGTH


def test_a_config_that_asks_for_tuples_is_read(checkpoint):
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"return_dict": False}))
    assert open_stock(checkpoint).turned_layers == [0, 1, 2]


def test_what_cannot_be_looked_into_is_one_line(tmp_path):
    sizes = IDS | {"hidden_size": 32, "num_hidden_layers": 2}
    mamba = MambaConfig(**sizes | {"state_size": 4})
    sinks = GptOssConfig(**sizes | {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
                                    "intermediate_size": 16, "num_local_experts": 4})  # fmt: skip
    for name, config, words in (
        ("mamba", mamba, "type 'mamba' cannot be looked into: it shows the attention of 0 of its 2 layers"),
        ("sinks", sinks, "type 'gpt_oss' cannot be looked into: it computes its attention in a way that is not known"),
    ):
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / name)
        with pytest.raises(UserError, match=words) as caught:
            open_stock(tmp_path / name, LENGTH)
        assert "\n" not in str(caught.value)


def test_a_head_of_its_own_is_read_whatever_the_config_says(tmp_path):
    from safetensors.torch import load_file, save_file

    made("llama", tie_word_embeddings=True).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].flip(0).contiguous()
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model, ids = open_stock(tmp_path), tokens(1)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.inference_mode():
        found = token_losses(model, ids)
        expected = F.cross_entropy(theirs(ids[:, :-1]).logits[0], ids[0, 1:], reduction="none")
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-4)
    assert not torch.equal(theirs.lm_head.weight, theirs.model.embed_tokens.weight)


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    made("llama").save_pretrained(tmp_path / "in")
    return tmp_path / "in"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused_by_name(value, checkpoint):
    from safetensors.torch import load_file, save_file

    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    weights["model.layers.1.mlp.up_proj.weight"][2, 3] = value
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"layers.1.mlp.up_proj.weight has 1 of 768 values that are NaN or infinite"):
        open_stock(checkpoint)


def test_a_missing_or_an_extra_weight_is_one_line(checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    for changed, words in (
        ({name: one for name, one in weights.items() if "1.mlp.up" not in name}, "1.mlp.up_proj.weight is missing"),
        (weights | {"model.extra": torch.ones(3)}, "model.extra has no place in its architecture"),
    ):
        save_file(changed, path, metadata={"format": "pt"})
        with pytest.raises(UserError, match=words):
            open_stock(checkpoint)


def test_a_checkpoint_that_is_only_a_config_or_a_pickle_is_refused(checkpoint):
    shutil.move(checkpoint / "model.safetensors", checkpoint / "pytorch_model.bin")
    with pytest.raises(UserError, match="a pickle can run code"):
        open_stock(checkpoint)
