"""An imported model with a study's data: the rows of the special tokens, and the way to its analysis."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from hope.cli import main
from hope.data.corpus import prepare_corpus
from hope.data.tokenize import tokenize_corpus
from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.files import write_json
from hope.interchange.exporting import export_model
from hope.interchange.importing import import_checkpoint
from hope.model.loading import load_model
from tests.conftest import tiny_arm

ROWS = 320
"""Of the embedding: more than the tokenizer has tokens, as where a vocabulary was rounded up."""


@pytest.fixture(scope="module")
def checkpoint(tiny_files, tmp_path_factory) -> Path:
    """Return a checkpoint from elsewhere, with a tokenizer that knows nothing of this project."""
    folder = tmp_path_factory.mktemp("foreign") / "in"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    ends = [AddedToken("<s>", special=True), AddedToken("</s>", special=True)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=ends, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train([str(path) for path in tiny_files.iterdir()], trainer)
    torch.manual_seed(0)
    sizes = {"vocab_size": ROWS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    model = LlamaForCausalLM(
        LlamaConfig(**sizes, num_attention_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=1)
    )
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {"bos_token": {"content": "<s>"}, "eos_token": "</s>"})
    return folder


@pytest.fixture(scope="module")
def data(checkpoint, tiny_files, tmp_path_factory) -> Path:
    """Return the data of a study that reads text with the checkpoint's tokenizer."""
    folder = tmp_path_factory.mktemp("data")
    arm = tiny_arm(tiny_files, tokens={"tokenizer": "pretrained", "pretrained": str(checkpoint)})
    prepare_corpus(arm.corpus, folder / "corpus")
    tokenize_corpus(arm.tokens, folder / "corpus", folder)
    return folder


def test_special_tokens_get_rows_and_the_others_keep_theirs(checkpoint, data, tmp_path):
    corpus = TokenCorpus.open(data / "validation")
    assert corpus.vocabulary == 304 and sorted(corpus.special.values()) == [300, 301, 302, 303]
    line = import_checkpoint(checkpoint, tmp_path / "out", data=data)
    assert line.endswith("304 token ids")
    tokenizer = (data / "tokenizer" / "tokenizer.json").read_bytes()
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == tokenizer
    before, after = load_file(checkpoint / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    for theirs, ours in (("model.embed_tokens.weight", "embedding.weight"), ("lm_head.weight", "head.weight")):
        known, rows = before[theirs][:300], after[ours]
        assert torch.equal(rows[:300], known) and len(rows) == 304
        assert torch.equal(rows[corpus.special["start"]], known[0])
        assert torch.equal(rows[corpus.special["end"]], known[1])
        for role in ("separator", "query"):
            torch.testing.assert_close(rows[corpus.special[role]], known.double().mean(dim=0).float())
    # A logit that is a mean takes no more than an even share of the probability.
    made = load_model(tmp_path / "out").cpu()
    with torch.inference_mode():
        probability = made.logits(made(torch.arange(30)[None]))[0].double().softmax(-1)
    rest = 1 - probability[:, 302:].sum(-1)
    assert (probability[:, [302, 303]] <= rest[:, None] / 300 * (1 + 1e-6)).all()


def test_analysis_and_evaluation_open_a_model_that_was_imported_with_data(checkpoint, data, tmp_path, capsys):
    model, out = tmp_path / "model", tmp_path / "out"
    assert main(["import", str(checkpoint), str(model), "--data", str(data)]) == 0
    shared = ["--data", str(data), "--output", str(out)]
    assert main(["analyze-attention", "--settings", '{"documents": 2}', "--model", str(model), *shared]) == 0
    stage = {"extrapolation": {"documents": 2, "targets": 4}, "windows": {"start_token": True}}
    assert main(["extrapolate", "--settings", json.dumps(stage), "--model", str(model), *shared]) == 0
    for name in ("profile", "components", "intervention", "extrapolation", "context"):
        assert (out / f"{name}.parquet").is_file(), name
    import_checkpoint(checkpoint, tmp_path / "plain")
    assert load_model(tmp_path / "plain").vocabulary == ROWS
    assert main(["analyze-attention", "--settings", "{}", "--model", str(tmp_path / "plain"), *shared]) == 1


def test_a_model_that_was_exported_here_keeps_its_special_tokens(make, tiny_files, tmp_path):
    made = make("hope")
    export_model(made.folder, tmp_path / "there")
    arm = tiny_arm(tiny_files, tokens={"tokenizer": "pretrained", "pretrained": str(made.data / "tokenizer")})
    prepare_corpus(arm.corpus, tmp_path / "corpus")
    tokenize_corpus(arm.tokens, tmp_path / "corpus", tmp_path / "data")
    import_checkpoint(tmp_path / "there", tmp_path / "back", data=tmp_path / "data")
    back = load_file(tmp_path / "back" / "model.safetensors")
    assert torch.equal(back["embedding.weight"], made.model.embedding.weight)


def test_data_of_another_tokenizer_are_refused(checkpoint, data, tiny_data, tmp_path):
    with pytest.raises(
        UserError, match=r"--data: .* was tokenized with another tokenizer: .* tokenize with tokens.pretrained"
    ):
        import_checkpoint(checkpoint, tmp_path / "out", data=tiny_data)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((checkpoint / name).read_bytes())
    with pytest.raises(UserError, match=r"--data: .*bare has no tokenizer.json to compare"):
        import_checkpoint(bare, tmp_path / "out", data=data)
    with pytest.raises(UserError, match="there is no such file"):
        import_checkpoint(checkpoint, tmp_path / "out", data=tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()
