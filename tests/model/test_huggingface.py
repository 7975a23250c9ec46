"""The model class of transformers: loading, generation with its cache, loss, saving."""

import json

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache, pipeline

from hope.catalogue import FAMILIES
from hope.config import EncodingSpec
from hope.errors import UserError
from hope.model.decoder import Decoder
from hope.model.loading import load_model
from tests.model.folders import LENGTH, VOCABULARY, prompt, save


def load(folder, **options):
    return AutoModelForCausalLM.from_pretrained(folder, **options)


@pytest.fixture
def hope(tmp_path):
    """A HoPE model as transformers loads it."""
    save(tmp_path, "hope")
    return load(tmp_path)


@pytest.mark.parametrize("name", FAMILIES)
def test_generation_with_the_cache_equals_generation_without(name, tmp_path):
    ours = save(tmp_path, name, loud=4.0, tied_embeddings=False)
    model, ids = load(tmp_path), prompt()
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, ours.logits(ours(ids)), atol=1e-3, rtol=1e-4)
    # Past the training length, for those that go there.
    total = ours.encoding.longest or 2 * LENGTH

    def generated(length, **options):
        torch.manual_seed(0)
        return model.generate(ids, max_length=length, **({"do_sample": False} | options))

    greedy = generated(total)
    assert greedy.shape == (2, total) and torch.equal(greedy, generated(total, use_cache=False))
    assert len(greedy[:, 8:].unique()) > 6
    for options in ({"num_beams": 3}, {"do_sample": True}):
        other = generated(LENGTH, **options)
        assert torch.equal(other, generated(LENGTH, use_cache=False, **options))
        assert not torch.equal(other, greedy[:, :LENGTH])


def test_greedy_generation_takes_the_likeliest_token(hope):
    ids = prompt(rows=1)
    expected = ids
    with torch.inference_mode():
        for _ in range(12):
            logits = hope.decoder.logits(hope.decoder(expected))
            expected = torch.cat((expected, logits[:, -1:].argmax(-1)), dim=1)
    assert torch.equal(hope.generate(ids, max_new_tokens=12, do_sample=False), expected)


@pytest.mark.parametrize("options", [{"prefill_chunk_size": 3}, {"prompt_lookup_num_tokens": 3}])
def test_other_ways_of_generating_end_in_the_same_tokens(options, hope):
    ids = prompt(rows=1)
    expected = hope.generate(ids, max_new_tokens=20, do_sample=False)
    assert torch.equal(hope.generate(ids, max_new_tokens=20, do_sample=False, **options), expected)


def test_generation_goes_on_from_a_cache(hope):
    ids = prompt(rows=1)
    expected = hope.generate(ids, max_new_tokens=12, do_sample=False)
    first = hope.generate(ids, max_new_tokens=5, do_sample=False, return_dict_in_generate=True)
    assert first.past_key_values.get_seq_length() == 8 + 4
    again = hope.generate(first.sequences, past_key_values=first.past_key_values, max_new_tokens=7, do_sample=False)
    assert torch.equal(again, expected)


def test_a_pass_returns_a_cache_only_where_it_is_asked_for(hope):
    ids = prompt()
    whole = hope(ids)
    assert isinstance(whole.past_key_values, DynamicCache)
    assert hope(ids, use_cache=False).past_key_values is None
    rest = hope(ids[:, 5:], past_key_values=hope(ids[:, :5]).past_key_values)
    torch.testing.assert_close(rest.logits, whole.logits[:, 5:], atol=1e-2, rtol=1e-3)
    assert rest.past_key_values.get_seq_length() == 8
    assert hope.train()(ids).past_key_values is None


def test_logits_are_those_asked_for(hope):
    ids = prompt()
    whole = hope(ids, use_cache=False, return_dict=False)[0]
    assert torch.equal(hope(ids, logits_to_keep=2).logits, whole[:, -2:])
    assert torch.equal(hope(ids, logits_to_keep=torch.tensor([1, 4])).logits, whole[:, [1, 4]])


def test_the_loss_is_the_mean_over_tokens_that_have_one(tmp_path):
    save(tmp_path, "rope", loud=1.0)
    model, ids = load(tmp_path), prompt()
    labels = ids.clone()
    labels[0, :4] = -100
    logits = model(ids).logits
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(model(ids, labels=labels).loss, expected)
    total = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    # As a trainer asks that adds the gradients of several passes.
    torch.testing.assert_close(model(ids, labels=labels, num_items_in_batch=40).loss, total / 40)
    model(ids, labels=labels).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_it_cannot_heed_is_one_clear_line(hope):
    ids = prompt()
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    with pytest.raises(UserError, match="padding is not supported, pass prompts of equal length"):
        hope.generate(ids, attention_mask=mask, max_new_tokens=2)
    with pytest.raises(UserError, match="a static cache is not supported"):
        hope.generate(ids, cache_implementation="static", max_new_tokens=2)
    for options in (
        {"position_ids": torch.arange(8)[None]},
        {"output_attentions": True},
        {"output_hidden_states": True},
    ):
        with pytest.raises(UserError, match=f"{next(iter(options))}: not supported by this model"):
            hope(ids, **options)
    assert hope(ids, output_attentions=False, position_ids=None).logits.isfinite().all()
    with pytest.raises(ValueError, match="maxx_new_tokens"):
        hope.generate(ids, maxx_new_tokens=2)


def test_generation_past_the_end_of_an_encoding_is_one_clear_line(tmp_path):
    save(tmp_path, "learned")
    model, ids = load(tmp_path), prompt()
    assert model.generate(ids, max_length=LENGTH + 1, do_sample=False).shape[1] == LENGTH + 1
    with pytest.raises(UserError, match=f"end at {LENGTH - 1}, the training length; position {LENGTH} has none$"):
        model.generate(ids, max_length=LENGTH + 2, do_sample=False)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_a_model_that_transformers_saved_loads_here_and_there(tied, given, tmp_path):
    ours = save(tmp_path / "ours", "darope", tied_embeddings=tied)
    model, ids = load(tmp_path / "ours"), prompt()
    # A trainer of transformers hands over the weights itself.
    model.save_pretrained(tmp_path / "theirs", **({"state_dict": model.state_dict()} if given else {}))
    written = {path.name for path in (tmp_path / "theirs").iterdir()}
    assert written == {"config.json", "generation_config.json", "model.safetensors"}
    before, after = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("ours", "theirs"))
    assert {key: after[key] for key in before} == before
    with torch.inference_mode():
        expected = ours.logits(ours(ids))
        torch.testing.assert_close(load(tmp_path / "theirs")(ids).logits, expected, atol=1e-3, rtol=1e-4)
        again = load_model(tmp_path / "theirs").cpu()
        torch.testing.assert_close(again.logits(again(ids)), expected, atol=1e-3, rtol=1e-4)
    assert all(torch.equal(weight, ours.state_dict()[name]) for name, weight in again.state_dict().items())


@pytest.mark.parametrize("name", FAMILIES)
def test_in_bfloat16_it_differs_by_rounding(name, tmp_path):
    save(tmp_path, name, loud=1.0)
    half, exact, ids = load(tmp_path, dtype=torch.bfloat16), load(tmp_path), prompt()
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    with torch.inference_mode():
        logits, expected = half(ids).logits, exact(ids).logits
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - expected).abs().max() < 0.05 * expected.std()
    assert half.generate(ids, max_new_tokens=4, do_sample=False).shape == (2, 12)


def test_a_model_from_the_config_alone_has_the_first_weights_of_its_seed(tmp_path):
    save(tmp_path, "darope", seed=5)
    config = AutoConfig.from_pretrained(tmp_path)
    assert (config.model_type, config.vocab_size, config.training_length) == ("hope_decoder", VOCABULARY, LENGTH)
    assert (config.hidden_size, config.num_hidden_layers, config.seed) == (64, 2, 5)
    model = AutoModelForCausalLM.from_config(config)
    first = Decoder(config.model, VOCABULARY, LENGTH, EncodingSpec.model_validate(config.encoding)).initialise(5)
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, model.decoder.get_parameter(name)), name


def test_text_is_generated_by_a_pipeline(tiny_data, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_data / "tokenizer")
    config = AutoConfig.for_model(
        "hope_decoder",
        vocab_size=len(tokenizer),
        training_length=16,
        shape={"layers": 1, "width": 16, "heads": 2, "mlp_width": 16},
        encoding={"name": "hope", "family": "hope"},
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    writer = pipeline("text-generation", model=model, tokenizer=tokenizer)
    (written,) = writer("abc def", max_new_tokens=4, do_sample=False, return_full_text=False)
    ids = tokenizer("abc def", return_tensors="pt")["input_ids"]
    expected = model.generate(ids, max_new_tokens=4, do_sample=False)[0, ids.shape[1] :]
    assert written["generated_text"] == tokenizer.decode(expected, skip_special_tokens=True)
