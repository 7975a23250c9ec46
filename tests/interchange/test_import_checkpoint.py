"""Stock checkpoints, made by transformers or exported here, come in as the models that they are."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Phi3Config, Phi3ForCausalLM

from hope.cli import main
from hope.errors import UserError
from hope.interchange.exporting import export_model
from hope.interchange.importing import import_checkpoint
from hope.interchange.rotation import rotation_of
from hope.model.loading import load_model, read_description
from tests.interchange.made_models import random_ids

SIZES = {
    "vocab_size": 130,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "pad_token_id": None,
}
FACTORS = [1.0, 1.0, 1.5, 2.0, 3.0, 10.0, 1e30, 1e30]
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": FACTORS,
    "long_factor": FACTORS,
    "factor": 1.0,
    "original_max_position_embeddings": 96,
}


def rope(kind: str, **settings: object) -> dict:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0} | settings}


LLAMA, MISTRAL, PHI3 = (
    (LlamaForCausalLM, LlamaConfig),
    (MistralForCausalLM, MistralConfig),
    (Phi3ForCausalLM, Phi3Config),
)
# What transformers makes, and the encoding that it comes in as.
STOCK = {
    "llama": (LLAMA, {}, "rope"),
    "llama-other": (
        LLAMA,
        rope("default", rope_theta=5e5) | {"tie_word_embeddings": True, "num_key_value_heads": 4, "rms_norm_eps": 1e-3},
        "rope",
    ),
    "llama-linear": (LLAMA, rope("linear", factor=4.0), "rotary"),
    "llama-3": (LLAMA, {"rope_parameters": LLAMA3}, "rotary"),
    "llama-longrope": (LLAMA, {"rope_parameters": LONGROPE}, "rotary"),
    "llama-proportional": (LLAMA, rope("proportional", partial_rotary_factor=0.75), "p_rope"),
    "llama-hope": (LLAMA, rope("proportional", partial_rotary_factor=0.375), "hope"),
    "llama-none": (LLAMA, rope("proportional", partial_rotary_factor=0.0), "none"),
    "mistral": (MISTRAL, {"sliding_window": None}, "rope"),
    "phi3": (PHI3, {}, "rope"),
    "phi3-partial": (PHI3, rope("default", partial_rotary_factor=0.75), "p_rope"),
}


def stock(name: str):
    """Return a stock model with random weights, far from uniform."""
    (kind, config), over, _ = STOCK[name]
    torch.manual_seed(5)
    model = kind(config(**SIZES | over)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6.0) if parameter.dim() > 1 else parameter.add_(torch.rand_like(parameter))
    return model


def assert_comes_in(kind: type, folder: Path, out: Path) -> None:
    """Assert that the imported model says what the stock one says, which computes its angles in float32."""
    model, made = kind.from_pretrained(folder, dtype=torch.float32).eval(), load_model(out).cpu()
    ids = torch.tensor([random_ids(96, 130)])
    with torch.inference_mode():
        expected, logits = model(ids).logits, made.logits(made(ids))
    assert expected.std() > 0.3
    torch.testing.assert_close(logits, expected, rtol=0, atol=3e-4 * float(expected.std()))


@pytest.mark.parametrize("name", STOCK)
def test_a_stock_model_comes_in_as_it_is(name, tmp_path):
    model, out = stock(name), tmp_path / "out"
    model.save_pretrained(tmp_path / "in")
    line = import_checkpoint(tmp_path / "in", out)
    assert_comes_in(type(model), tmp_path / "in", out)
    description = read_description(out)
    assert description["encoding"]["family"] == STOCK[name][2]
    assert description["training_length"] == 96
    assert description["imported"]["architecture"] == model.config.model_type
    assert f"encoding '{STOCK[name][2]}', L = 96, 130 token ids" in line


def test_shards_and_half_precision(tmp_path):
    for dtype in (torch.bfloat16, torch.float16):
        model, folder = stock("llama").to(dtype), tmp_path / str(dtype)
        model.save_pretrained(folder / "in", max_shard_size="60KB")
        assert len(list((folder / "in").glob("*.safetensors"))) > 2
        import_checkpoint(folder / "in", folder / "out")
        assert_comes_in(type(model), folder / "in", folder / "out")
        assert {weight.dtype for weight in load_file(folder / "out" / "model.safetensors").values()} == {torch.float32}


def test_the_training_length_can_be_named(tmp_path):
    stock("llama-hope").save_pretrained(tmp_path / "in")
    assert main(["import", str(tmp_path / "in"), str(tmp_path / "out"), "--length", "1000000"]) == 0
    description = read_description(tmp_path / "out")
    # HoPE of that length would keep other components: these are kept by their number.
    assert (description["training_length"], description["encoding"]["family"]) == (1_000_000, "p_rope")
    assert int((load_model(tmp_path / "out").encoding.frequencies > 0).sum()) == 3
    with pytest.raises(UserError, match="--length: 0 is no number of tokens"):
        import_checkpoint(tmp_path / "in", tmp_path / "zero", length=0)


@pytest.mark.parametrize(
    ("kind", "family", "settings", "comes_back_as"),
    [
        ("llama", "rope", {"base": 123.0}, "rope"),
        ("llama", "none", {}, "none"),
        ("llama", "hope", {"freeze": "band", "band": [0.5, 4.0]}, "rotary"),
        ("partial-rotary", "hope", {}, "hope"),
        ("partial-rotary", "none", {}, "none"),
        ("partial-rotary", "partial_rope", {"share": 0.5}, "p_rope"),
        ("partial-rotary", "hope", {"freeze": "listed", "components": [1, 3, 5, 7]}, "p_rope"),
    ],
)
def test_there_and_back_changes_no_bit(kind, family, settings, comes_back_as, make, tmp_path):
    made, there, folder = make(family, settings), tmp_path / "there", tmp_path / "back"
    export_model(made.folder, there, kind)
    import_checkpoint(there, folder)
    back = load_model(folder).cpu()
    assert read_description(folder)["encoding"]["family"] == comes_back_as
    # Partial rotation does not record where in a head the components stood: their order may differ.
    if "components" not in settings:
        frequencies = rotation_of(made.model.encoding, "it")
        torch.testing.assert_close(rotation_of(back.encoding, "it"), frequencies, rtol=1e-9, atol=0)
        for name, weight in made.model.state_dict().items():
            assert torch.equal(back.state_dict()[name], weight), name
    ids = torch.tensor([random_ids(90, made.model.vocabulary)])
    with torch.inference_mode():
        expected, logits = (model.logits(model(ids)) for model in (made.model, back))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5 * float(expected.std()))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (there / name).read_bytes()


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    stock("llama").save_pretrained(tmp_path / "in")
    return tmp_path / "in"


def refused(folder: Path, words: str) -> None:
    """Assert that an import ends with one line, and leaves nothing behind."""
    before = set(folder.parent.iterdir())
    with pytest.raises(UserError, match=words) as caught:
        import_checkpoint(folder, folder.parent / "out")
    assert "\n" not in str(caught.value)
    assert set(folder.parent.iterdir()) == before


UNFIT = [
    ({"model_type": "qwen2"}, r"config.json: model_type 'qwen2' cannot be imported; llama, mistral, phi3 can"),
    ({"model_type": None}, "model_type 'None' cannot be imported"),
    ({"attention_bias": True}, "attention_bias True cannot be imported; only False can"),
    ({"mlp_bias": True}, "mlp_bias True cannot be imported"),
    ({"hidden_act": "gelu"}, "hidden_act 'gelu' cannot be imported; only 'silu' can"),
    ({"model_type": "mistral", "sliding_window": 32}, "sliding_window 32 cannot be imported; only None can"),
    ({"head_dim": 32}, "head_dim 32 is not hidden_size / num_attention_heads, 64 / 4"),
    ({"num_key_value_heads": 3}, "heads 4 is no multiple of kv_heads 3"),
    ({"quantization_config": {"quant_method": "fp8"}}, "the weights are quantised"),
    (rope("dynamic", factor=2.0), "rope_type 'dynamic' cannot be imported"),
    (rope("yarn", factor=4.0, original_max_position_embeddings=24), "attention temperature of 1.139"),
    ({"rope_parameters": LONGROPE | {"long_factor": [2.0] * 8}}, "changes its frequencies with the length"),
    ({"rope_parameters": LONGROPE | {"factor": 4.0}}, "attention temperature of 1.142"),
    (rope("llama3"), "transformers cannot read it"),
    ({"vocab_size": -1}, "vocab_size is -1; it should be a whole number above 0"),
    ({"head_dim": 0}, "head_dim is 0; it should be a whole number above 0"),
    ({"max_position_embeddings": 0}, "max_position_embeddings is 0; it should be the training length"),
    ({"max_position_embeddings": -1}, "max_position_embeddings is -1"),
    (rope("default", rope_theta=None), "rope_theta is None; it should be a number above 0"),
    (rope("default", rope_theta=[1e4]), r"rope_theta is \[10000.0\]"),
    (rope("linear", factor="4"), "factor is '4'; it should be a number above 0"),
    (rope("proportional", partial_rotary_factor="half"), "partial_rotary_factor is 'half'"),
    (rope("llama3", **LLAMA3 | {"low_freq_factor": "1"}), "transformers cannot read it"),
    ({"rope_parameters": LONGROPE | {"long_factor": [2.0] * 7}}, "long_factor has 7 entries; it should be 8 numbers"),
    ({"rope_parameters": LONGROPE | {"short_factor": "one"}}, "short_factor is 'one'; it should be 8 numbers"),
    ({"rope_parameters": LONGROPE | {"short_factor": [1.0] * 7 + ["2"]}}, "short_factor"),
    ({"vocab_size": 131}, r"do not fit config.json: embedding.weight should be \[131, 64\], but is \["),
    ({"num_hidden_layers": 3}, r"in: model.layers.2.input_layernorm.weight is missing, and 8 more"),
    ({"num_hidden_layers": 1}, r"model.layers.1.\S+ has no place in a decoder without biases and extra norms"),
]


def test_what_is_no_decoder_of_ours_is_refused_with_the_reason(checkpoint):
    path = checkpoint / "config.json"
    content = json.loads(path.read_text())
    for over, words in UNFIT:
        path.write_text(json.dumps(content | over))
        refused(checkpoint, words)


def test_pickles_are_not_read(checkpoint, tmp_path):
    weights = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    torch.save(weights, checkpoint / "pytorch_model.bin")
    words = "pytorch_model.bin: a pickle can run code and is never read; save the checkpoint as safetensors"
    refused(checkpoint, words)
    refused(checkpoint / "pytorch_model.bin", words)
    index = {"weight_map": dict.fromkeys(weights, "pytorch_model.bin")}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(checkpoint, words)
    # A pickle by another name is no safetensors file.
    shutil.move(checkpoint / "pytorch_model.bin", checkpoint / "model.safetensors")
    refused(checkpoint, "model.safetensors: not a safetensors file")


def test_files_that_are_missing_damaged_or_elsewhere_are_one_clear_line(checkpoint, tmp_path):
    weights = load_file(checkpoint / "model.safetensors")
    path = checkpoint / "model.safetensors"
    save_file(weights | {"model.layers.0.self_attn.q_proj.bias": torch.zeros(64)}, path)
    refused(checkpoint, "q_proj.bias has no place in a decoder without biases")
    save_file(weights | {"model.norm.weight": torch.ones(64, dtype=torch.int8)}, path)
    refused(checkpoint, "model.norm.weight is int8; only float32, float16 and bfloat16 are read")
    save_file({name: weight for name, weight in weights.items() if name != "model.norm.weight"}, path)
    refused(checkpoint, "in: model.norm.weight is missing$")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(checkpoint, "model.safetensors: not a safetensors file")
    path.unlink()
    refused(checkpoint, "in: holds neither model.safetensors nor model.safetensors.index.json")
    for name, words in (
        ("../other.safetensors", "which is no file in its folder"),
        ("gone.safetensors", "no such file"),
    ):
        (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        refused(checkpoint, words)
    (checkpoint / "model.safetensors.index.json").write_text("{}")
    refused(checkpoint, "names no files")
    refused(checkpoint / "config.json", "config.json: is a file; name the folder")
    refused(tmp_path / "nowhere", "nowhere: there is no such folder")
    save_file(weights, path)
    (checkpoint / "config.json").unlink()
    refused(checkpoint, "config.json: there is no such file")


def test_a_json_file_that_holds_something_else_is_one_clear_line(checkpoint):
    shutil.copy(checkpoint / "config.json", checkpoint.parent / "config.json")
    for content in ("[]", "null", '"text"', "3", "{", ""):
        (checkpoint / "config.json").write_text(content)
        with pytest.raises(UserError, match=r"config\.json: (holds|not valid JSON)") as caught:
            import_checkpoint(checkpoint, checkpoint.parent / "out")
        assert "delete" not in str(caught.value)
    shutil.copy(checkpoint.parent / "config.json", checkpoint / "config.json")
    weights = checkpoint / "model.safetensors"
    weights.rename(checkpoint / "part.safetensors")
    index = checkpoint / "model.safetensors.index.json"
    for content, words in (
        ("[]", "index.json: holds a list, not a JSON object"),
        ('{"weight_map": ["part.safetensors"]}', "names no files"),
        ('{"weight_map": {"a": ["part.safetensors"]}}', r"names \['part.safetensors'\], which is no file"),
        ('{"weight_map": {"a": null}}', "names None, which is no file"),
    ):
        index.write_text(content)
        refused(checkpoint, words)
    index.unlink()
    (checkpoint / "part.safetensors").rename(weights)
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(checkpoint / "tokenizer.json"))
    (checkpoint / "tokenizer_config.json").write_text("[]")
    refused(checkpoint, "tokenizer_config.json: holds a list, not a JSON object")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["model.norm.weight", "model.layers.1.mlp.up_proj.weight", "lm_head.weight"])
def test_weights_that_are_not_finite_do_not_come_in(value, name, checkpoint):
    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    weights[name].view(-1)[3] = value
    save_file(weights, path)
    refused(checkpoint, rf"{name} has 1 of [\d,]+ values that are NaN or infinite")


def test_a_head_that_differs_from_the_embedding_stays_whatever_the_config_says(checkpoint):
    path = checkpoint / "model.safetensors"
    content = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(content | {"tie_word_embeddings": True}))
    out = checkpoint.parent / "out"
    import_checkpoint(checkpoint, out)
    assert_comes_in(LlamaForCausalLM, checkpoint, out)
    assert not read_description(out)["shape"]["tied_embeddings"]
    # One that equals it says nothing new, and an embedding may be written under either name.
    weights = load_file(path)
    same = weights | {"lm_head.weight": weights["model.embed_tokens.weight"].clone()}
    without = {name: weight for name, weight in same.items() if name != "model.embed_tokens.weight"}
    for number, written in enumerate((same, without)):
        save_file(written, path, metadata={"format": "pt"})
        import_checkpoint(checkpoint, checkpoint.parent / f"tied{number}")
        assert_comes_in(LlamaForCausalLM, checkpoint, checkpoint.parent / f"tied{number}")
        assert read_description(checkpoint.parent / f"tied{number}")["shape"]["tied_embeddings"]


def test_older_checkpoints_hold_tables_that_are_computed_anew(checkpoint):
    path = checkpoint / "model.safetensors"
    save_file(load_file(path) | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}, path)
    content = json.loads((checkpoint / "config.json").read_text())
    del content["rope_parameters"]
    (checkpoint / "config.json").write_text(json.dumps(content | {"rope_theta": 777.0, "rope_scaling": None}))
    import_checkpoint(checkpoint, checkpoint.parent / "out")
    assert read_description(checkpoint.parent / "out")["encoding"]["settings"] == {"base": 777.0}
