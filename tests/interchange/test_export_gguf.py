"""GGUF files: by hand as llama.cpp's source computes them, and, where it is there, by llama.cpp itself."""

import json
import shutil
import sys

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from hope.errors import UserError
from hope.interchange.exporting import export_model
from hope.interchange.gguf_tokenizer import LLAMA3
from tests.interchange.made_models import NEW_TOKENS, optional_python, random_ids, run_alone

LLAMA_CPP = "HOPE_LLAMA_CPP"
ALPHABET = pre_tokenizers.ByteLevel.alphabet()
CASES = {
    "hope-48": ("hope", {}, 48, 4096),
    "hope-64": ("hope", {}, 64, 512),
    "rope": ("rope", {}, 16, 512),
    "none": ("none", {}, 16, 512),
    "random": ("hope", {"freeze": "random", "seed": 1}, 16, 512),
}
TEXTS = [
    "def turn(heads):\n\treturn heads  \n\n\n    # it's 12345 turns; they'LL say \u00bd\r\n",
    "  \u00e9\u6f22\u5b57 \U0001f680\U0001f9d1\u200d\U0001f680 \u00a0\u2003x \u0e01\u0e33 <|end|>...!?",
    "x = 'a'   ;\n y=\"b\"",
]


def numpy_logits(path, ids: list[int]) -> np.ndarray:
    """Return the logits [tokens, vocabulary] of architecture llama, from what the file says alone, in float64."""
    reader = gguf.GGUFReader(path)
    field = {name: value.contents() for name, value in reader.fields.items()}
    weight = {tensor.name: tensor.data.astype(np.float64) for tensor in reader.tensors}
    assert field["general.architecture"] == "llama"
    heads, kv_heads = field["llama.attention.head_count"], field["llama.attention.head_count_kv"]
    dim = field["llama.rope.dimension_count"]
    frequencies = field["llama.rope.freq_base"] ** (-np.arange(0, dim, 2) / dim)
    frequencies = frequencies / weight.get("rope_freqs.weight", np.ones(dim // 2))
    turned = np.exp(1j * np.arange(len(ids))[:, None, None] * frequencies)

    def norm(x, name):
        mean = (x**2).mean(-1, keepdims=True)
        return x / np.sqrt(mean + field["llama.attention.layer_norm_rms_epsilon"]) * weight[f"{name}.weight"]

    def rotate(x, count):
        pairs = x.reshape(len(ids), count, dim // 2, 2)
        product = (pairs[..., 0] + 1j * pairs[..., 1]) * turned
        return np.stack((product.real, product.imag), -1).reshape(len(ids), count, dim)

    x = weight["token_embd.weight"][ids]
    for layer in range(field["llama.block_count"]):
        part = f"blk.{layer}"
        hidden = norm(x, f"{part}.attn_norm")
        q = rotate(hidden @ weight[f"{part}.attn_q.weight"].T, heads)
        k = rotate(hidden @ weight[f"{part}.attn_k.weight"].T, kv_heads).repeat(heads // kv_heads, axis=1)
        v = (hidden @ weight[f"{part}.attn_v.weight"].T).reshape(len(ids), kv_heads, dim).repeat(heads // kv_heads, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(dim) + np.triu(np.full((len(ids),) * 2, -np.inf), 1)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", scores / scores.sum(-1, keepdims=True), v).reshape(len(ids), -1)
        x = x + mixed @ weight[f"{part}.attn_output.weight"].T
        hidden = norm(x, f"{part}.ffn_norm")
        gate, up = hidden @ weight[f"{part}.ffn_gate.weight"].T, hidden @ weight[f"{part}.ffn_up.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weight[f"{part}.ffn_down.weight"].T
    return norm(x, "output_norm") @ weight.get("output.weight", weight["token_embd.weight"]).T


@pytest.mark.parametrize("name", CASES)
def test_the_file_describes_the_whole_model(name, make, tmp_path):
    family, settings, head_dim, length = CASES[name]
    made = make(family, settings, head_dim=head_dim, length=length)
    export_model(made.folder, tmp_path / "out", "gguf")
    ids = random_ids(100, made.model.vocabulary)
    expected = made.logits(ids).numpy()
    # The decoder computes in float32, and its weights are loud.
    tolerance = 2e-4 * expected.std()
    np.testing.assert_allclose(numpy_logits(tmp_path / "out" / "model.gguf", ids), expected, rtol=0, atol=tolerance)


def test_the_tokenizer_is_in_the_file(make, tokenizer, tmp_path):
    made = make("hope", windows={"start_token": True})
    export_model(made.folder, tmp_path / "out", "gguf")
    field = {name: value.contents() for name, value in gguf.GGUFReader(tmp_path / "out" / "model.gguf").fields.items()}
    assert (field["tokenizer.ggml.model"], field["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert field["tokenizer.ggml.tokens"] == [tokenizer.id_to_token(index) for index in range(300)]
    assert field["tokenizer.ggml.token_type"] == [gguf.TokenType.CONTROL] * 4 + [gguf.TokenType.NORMAL] * 296
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    assert field["tokenizer.ggml.merges"] == [" ".join(merge) for merge in merges]
    assert (field["tokenizer.ggml.bos_token_id"], field["tokenizer.ggml.eos_token_id"]) == (0, 1)
    assert field["tokenizer.ggml.add_bos_token"] is True and field["tokenizer.ggml.add_eos_token"] is False
    assert field["llama.context_length"] == 64


def other_tokenizer(pre_tokenizer: pre_tokenizers.PreTokenizer, **settings) -> Tokenizer:
    vocabulary = {token: index for index, token in enumerate(sorted(ALPHABET))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], **settings))
    made.pre_tokenizer = pre_tokenizer
    return made


def split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def exported_with(tokenizer: Tokenizer, made, folder) -> dict:
    """Return the fields of the GGUF file of a model that is exported with another tokenizer."""
    (folder / "tokenizer").mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    export_model(made.folder, folder / "out", "gguf", str(folder / "tokenizer"))
    return gguf.GGUFReader(folder / "out" / "model.gguf").fields


def test_a_tokenizer_has_a_name_in_llama_cpp_or_is_one_clear_line(make, tmp_path):
    made = make("hope")
    fields = exported_with(other_tokenizer(split(LLAMA3), ignore_merges=True), made, tmp_path / "llama3")
    assert fields["tokenizer.ggml.pre"].contents() == "llama-bpe"
    # The model has more rows than this tokenizer has tokens.
    assert fields["tokenizer.ggml.tokens"].contents()[256:258] == ["[PAD256]", "[PAD257]"]
    others = [
        other_tokenizer(split(r"\w+|\W+"), ignore_merges=True),
        other_tokenizer(split(LLAMA3)),
        other_tokenizer(pre_tokenizers.ByteLevel(add_prefix_space=True)),
        other_tokenizer(pre_tokenizers.Whitespace()),
    ]
    for index, other in enumerate(others):
        with pytest.raises(UserError, match=r"tokenizer.json: splits text by neither .* use --tokenizer none"):
            exported_with(other, made, tmp_path / str(index))
        assert not (tmp_path / str(index) / "out").exists()
    export_model(made.folder, tmp_path / "none", "gguf", "none")
    fields = gguf.GGUFReader(tmp_path / "none" / "model.gguf").fields
    assert fields["tokenizer.ggml.model"].contents() == "no_vocab"


def test_without_the_package_gguf_the_error_says_how_to_get_it(make, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match="needs the package gguf; install it with `pip install gguf`"):
        export_model(make("hope").folder, tmp_path / "out", "gguf")
    assert not (tmp_path / "out").exists()


def test_llama_cpp_cuts_text_as_llama_3_does(make, tmp_path):
    python = optional_python(LLAMA_CPP, "llama_cpp")
    tokenizer = other_tokenizer(split(LLAMA3), ignore_merges=True)
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False, initial_alphabet=sorted(ALPHABET))
    tokenizer.train_from_iterator([text * 5 for text in TEXTS], trainer)
    assert json.loads(tokenizer.to_str())["model"]["ignore_merges"]
    exported_with(tokenizer, make("hope"), tmp_path)
    job = {"file": str(tmp_path / "out" / "model.gguf"), "ids": [5], "prompt": [5], "new": 1, "texts": TEXTS}
    (answer,) = run_alone(python, "llama_cpp_runner.py", [job], tmp_path)
    for index, text in enumerate(TEXTS):
        assert answer[f"text{index}"].tolist() == tokenizer.encode(text).ids


def test_llama_cpp_computes_and_generates_the_same(make, tokenizer, tmp_path):
    python = optional_python(LLAMA_CPP, "llama_cpp")
    jobs, made = [], []
    for name, (family, settings, head_dim, length) in CASES.items():
        made.append(make(family, settings, head_dim=head_dim, length=length))
        export_model(made[-1].folder, tmp_path / name, "gguf")
        ids = random_ids(8_192 if name == "hope-64" else 300, made[-1].model.vocabulary, seed=len(made))
        job = {"file": str(tmp_path / name / "model.gguf"), "ids": ids, "prompt": ids[:100], "texts": TEXTS}
        jobs.append(job | {"new": NEW_TOKENS})
    tokenizer.encode_special_tokens = True
    answers = run_alone(python, "llama_cpp_runner.py", jobs, tmp_path)
    for name, model, job, answer in zip(CASES, made, jobs, answers, strict=True):
        expected = model.logits(job["ids"])
        difference = (torch.from_numpy(answer["logits"]) - expected).abs().max() / expected.std()
        print(f"{name}: {len(job['ids'])} positions, logits differ by {difference:.1e} of their spread")
        assert difference < 0.005
        assert answer["generated"].tolist() == model.greedy(job["prompt"], end=-1)
        for index, text in enumerate(TEXTS):
            assert answer[f"text{index}"].tolist() == tokenizer.encode(text).ids


def test_the_end_token_is_never_left_to_llama_cpp(make, tmp_path):
    """It would be token 11, an ordinary one; a file without start and end names an id that no text has."""
    made = make("rope", {}, head_dim=16)
    content = json.loads((made.data / "tokenizer" / "tokenizer_config.json").read_text())
    tokenizer = Tokenizer.from_file(str(made.data / "tokenizer" / "tokenizer.json"))
    start, end = (tokenizer.token_to_id(content[key]) for key in ("bos_token", "eos_token"))
    unused = tokenizer.get_vocab_size()
    for number, (left_out, expected) in enumerate(
        [((), (start, end)), (("eos_token",), (start, start)), (("bos_token",), (end, end)),
         (("bos_token", "eos_token"), (unused, unused))]
    ):  # fmt: skip
        folder = tmp_path / f"tokenizer{number}"
        shutil.copytree(made.data / "tokenizer", folder)
        kept = {key: value for key, value in content.items() if key not in left_out}
        (folder / "tokenizer_config.json").write_text(json.dumps(kept))
        if unused == made.model.vocabulary and expected[0] == unused:
            with pytest.raises(UserError, match="has no end token, for which llama.cpp would take token 11"):
                export_model(made.folder, tmp_path / f"out{number}", "gguf", str(folder))
            continue
        export_model(made.folder, tmp_path / f"out{number}", "gguf", str(folder))
        fields = gguf.GGUFReader(tmp_path / f"out{number}" / "model.gguf").fields
        ids = [fields[f"tokenizer.ggml.{role}_token_id"].contents() for role in ("bos", "eos")]
        assert tuple(ids) == expected
        kinds = fields["tokenizer.ggml.token_type"].contents()
        assert {kinds[one] for one in ids} == {gguf.TokenType.CONTROL}


def test_a_model_with_a_value_that_is_not_finite_is_not_exported(make, tmp_path):
    from safetensors.torch import load_file, save_file

    made = make("rope", {}, head_dim=16)
    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["blocks.0.mlp.down.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for kind in ("llama", "partial-rotary", "gguf"):
        with pytest.raises(UserError, match="blocks.0.mlp.down.weight has 1 of"):
            export_model(folder, tmp_path / kind, kind, "none")
    assert not (tmp_path / "gguf").exists()
