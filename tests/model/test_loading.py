"""Models on disk: whole, without pickle, and at home in transformers."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hope.errors import UserError
from hope.files import digests_of, write_json
from hope.model.decoder import Decoder
from hope.model.loading import initial_model, load_model, save_model, save_weights, trained_tasks
from tests.conftest import tiny_arm


@pytest.fixture
def saved(tiny_files, tmp_path):
    def save(name: str):
        stage = tiny_arm(tiny_files).train_stage(name, 7)
        model = Decoder(stage.model, 128, stage.training.length, stage.encoding).initialise(7)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01)
        save_model(model, dict(model.state_dict()), stage, "key", tmp_path)
        return model.eval()

    return save


@pytest.mark.parametrize("name", ["rope", "hope", "none", "alibi", "learned"])
def test_a_saved_model_loads_the_same_here_and_in_transformers(name, saved, tmp_path):
    from transformers import AutoModelForCausalLM

    import hope.model.huggingface  # noqa: F401 (registers the class)

    model, ids = saved(name), torch.arange(20)[None] % 128
    with torch.inference_mode():
        expected = model.logits(model(ids))
        loaded = load_model(tmp_path)
        torch.testing.assert_close(loaded.logits(loaded(ids)), expected, atol=0, rtol=0)
        stock = AutoModelForCausalLM.from_pretrained(tmp_path)
        torch.testing.assert_close(stock(ids).logits, expected, atol=1e-6, rtol=1e-6)
        generated = stock.generate(ids, max_new_tokens=3, do_sample=False)
    assert generated.shape == (1, 23)
    assert generated[0, 20] == expected[0, -1].argmax()


def test_the_initial_model_is_that_of_the_seed(saved, tmp_path):
    trained = saved("hope")
    first = initial_model(tmp_path)
    for (name, before), (_, after) in zip(first.named_parameters(), trained.named_parameters(), strict=True):
        torch.testing.assert_close(before + 0.01, after, msg=name)


def test_the_config_says_which_tasks_were_trained(saved, tmp_path):
    saved("rope")
    assert trained_tasks(tmp_path) == ["copy", "recall"]


def test_a_damaged_or_foreign_model_is_one_clear_line(saved, tmp_path):
    saved("rope")
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    torch.save({"embedding.weight": torch.zeros(2)}, weights)
    with pytest.raises(UserError, match=r"model.safetensors: not a safetensors file"):
        load_model(tmp_path)
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"model.safetensors: not a safetensors file"):
        load_model(tmp_path)
    save_file({"embedding.weight": torch.zeros(2, 2)}, weights)
    with pytest.raises(UserError, match=r"does not fit config.json"):
        load_model(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match=r"only safetensors are read"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(UserError, match="model_type is not 'hope_decoder'"):
        load_model(tmp_path)


def test_weights_that_are_not_the_recorded_ones_are_refused(saved, tmp_path):
    saved("rope")
    names = ("config.json", "model.safetensors")
    write_json(tmp_path / "run.json", {"outputs": digests_of([tmp_path / name for name in names], tmp_path)})
    load_model(tmp_path)
    for name in names:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
        with pytest.raises(UserError, match=rf"{name}: altered since .*run.json was written"):
            load_model(tmp_path)
        (tmp_path / name).write_bytes(whole)


def test_weights_with_notes_are_the_same_bytes_each_time(tmp_path):
    weights = {"a": torch.arange(3.0), "b": torch.zeros(2, 2)}
    notes = {"step": "3", "fingerprint": 'é"x', "other": "1", "more": "2"}
    for number in range(4):
        save_weights(weights, tmp_path / str(number), **notes)
    contents = {(tmp_path / str(number)).read_bytes() for number in range(4)}
    assert len(contents) == 1
    with safe_open(tmp_path / "0", "pt") as opened:
        assert opened.metadata() == {"format": "pt", **notes}
        assert torch.equal(opened.get_tensor("a"), weights["a"])
