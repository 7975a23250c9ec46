"""The example of a user's own encoding: what it computes, and how the project treats it."""

import math
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from examples.my_encoding import MyEncoding
from hope.catalogue.custom import source_digest
from hope.config import MAIN, TrainStage, load_study, merge, parse_study, with_base
from hope.contract import Subject, examine
from hope.encodings.registry import build_encoding
from hope.encodings.shape import EncodingShape
from hope.errors import UserError
from hope.files import read_json, sha256_of_file
from hope.model.decoder import Decoder
from hope.model.loading import initial_model, load_model, save_model
from hope.study_files import check_study
from hope.training.fingerprint import fingerprint
from tests.conftest import ROOT
from tests.model.folders import STUDY, VOCABULARY

SHAPE = EncodingShape(layers=2, width=32, heads=2, kv_heads=1, head_dim=16, length=32)
OVERLAY = ROOT / "examples" / "my_encoding.yaml"


def test_it_passes_the_contract_without_free_tokens_too():
    assert [finding for finding in examine(Subject.of(MyEncoding, free=0)) if not finding.holds] == []


def test_the_penalty_begins_past_the_free_tokens_and_falls_with_the_slope():
    encoding = MyEncoding(SHAPE, free=3)
    with torch.no_grad():
        encoding.log_slopes.copy_(torch.tensor([[0.0, 0.0], [math.log(0.5), math.log(0.25)]]))
    heads, keys = torch.arange(2)[:, None, None], torch.tensor([10, 8, 7, 6, 2])
    found = encoding.bias(heads, torch.tensor([[10]]), keys, layer=1)
    torch.testing.assert_close(found[:, 0], -torch.tensor([[0, 0, 0, 0.5, 2.5], [0, 0, 0, 0.25, 1.25]]))


def test_the_first_slopes_are_drawn_from_the_seed_between_those_of_alibi():
    slopes = []
    for seed in (0, 0, 1):
        encoding = MyEncoding(SHAPE)
        encoding.initialise(lambda name, seed=seed: torch.Generator().manual_seed(seed))
        slopes.append(encoding.log_slopes.detach().exp())
    assert torch.equal(slopes[0], slopes[1]) and not torch.equal(slopes[0], slopes[2])
    assert all(((one >= 2**-8) & (one <= 1)).all() for one in slopes)


@pytest.mark.parametrize("free", [-1, 1.5, "8"])
def test_a_setting_out_of_range_is_one_line_that_names_the_key(free):
    encoding = stage({"free": free}).encoding
    with pytest.raises(UserError, match="^definitions.mine.settings: free must be a whole number of tokens from 0 on"):
        build_encoding(encoding, SHAPE)


def test_the_overlay_describes_a_study(monkeypatch):
    monkeypatch.chdir(ROOT)
    study = load_study(with_base([OVERLAY]))
    files = check_study(study).arms
    assert list(files) == list(study.arms) == ["text", "retrieval"]
    for name, arm in study.arms.items():
        models = Counter(encoding for encoding, _ in arm.runs())
        assert list(models) == ["rope", "hope", "mine"] and len(set(models.values())) == 1, name
        assert files[name].encodings == {"rope": [], "hope": [], "mine": [Path("examples/my_encoding.py")]}


def stage(settings: dict, family: str = "examples.my_encoding:MyEncoding") -> TrainStage:
    over = {"encodings": ["mine"], "definitions": {"mine": {"family": family, "settings": settings}}}
    return parse_study(merge(STUDY, over), "a test").arms[MAIN].train_stage("mine", 0)


def test_a_change_of_its_file_is_another_training_and_the_old_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "changing_encoding.py"
    source.write_text((ROOT / "examples" / "my_encoding.py").read_text())
    mine = stage({}, "changing_encoding:MyEncoding")
    model = Decoder(mine.model, VOCABULARY, 16, mine.encoding).initialise(0)
    before = fingerprint(mine, "data")
    save_model(model, dict(model.state_dict()), mine, before, tmp_path / "model")
    assert read_json(tmp_path / "model" / "config.json")["encoding_source"] == sha256_of_file(source)
    assert load_model(tmp_path / "model").encoding.free == 8
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").decoder.encoding.free == 8

    source.write_text(source.read_text() + "# a change\n")
    assert fingerprint(mine, "data") == before, "a training goes on under the name that it began with"
    source_digest.cache_clear()
    assert fingerprint(mine, "data") != before
    for open_model in (load_model, initial_model, AutoModelForCausalLM.from_pretrained):
        with pytest.raises(
            UserError, match="model: trained before .*changing_encoding.py was changed; train the model"
        ):
            open_model(tmp_path / "model")


def test_the_overlay_says_what_the_class_takes():
    (definition,) = yaml.safe_load(OVERLAY.read_text())["definitions"].values()
    assert definition["settings"] == {"free": MyEncoding(SHAPE).free}
