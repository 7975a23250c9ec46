"""What lies in an exported folder, and that it appears whole or not at all."""

import json
import os

import pytest
from safetensors import safe_open

from hope.catalogue import FAMILIES
from hope.cli import main
from hope.errors import UserError
from hope.files import sha256_of_file, write_json
from hope.interchange import exporting
from hope.interchange.exporting import FORMATS, export_model
from hope.interchange.whole_folder import whole_folder


def test_the_command_writes_a_folder_for_transformers_5_and_4(make, tmp_path, capsys):
    made, out = make("hope"), tmp_path / "deep" / "out"
    assert main(["export", str(made.folder), str(out)]) == 0
    assert capsys.readouterr().out == (
        f"{out}: llama, the 3 fastest of 8 components turn, base 10000; the others stand still; with its tokenizer\n"
    )
    names = {"README.md", "config.json", "generation_config.json", "model.safetensors"}
    assert {path.name for path in out.iterdir()} == names | {"tokenizer.json", "tokenizer_config.json"}
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in out.iterdir())
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    assert json.loads((out / "generation_config.json").read_text()) == ends
    content = json.loads((out / "config.json").read_text())
    rope = {"rope_type": "proportional", "rope_theta": 10_000.0, "partial_rotary_factor": 0.375}
    assert content["rope_parameters"] == content["rope_scaling"] == rope
    assert (content["rope_theta"], content["max_position_embeddings"], content["dtype"]) == (10_000.0, 64, "float32")


def test_a_tied_matrix_is_written_once_and_rope_is_the_default(make, tmp_path):
    for head_dim, tied in ((16, True), (64, False)):
        export_model(make("rope", head_dim=head_dim).folder, tmp_path / str(tied))
        with safe_open(tmp_path / str(tied) / "model.safetensors", "pt") as file:
            assert ("lm_head.weight" in file.keys()) is not tied  # noqa: SIM118 (no mapping)
            assert file.metadata() == {"format": "pt"}
        content = json.loads((tmp_path / str(tied) / "config.json").read_text())
        assert content["rope_parameters"] == {"rope_type": "default", "rope_theta": 10_000.0}
        assert "rope_scaling" not in content and content["rope_theta"] == 10_000.0


def test_the_readme_says_where_the_model_comes_from(make, tmp_path):
    made = make("hope", {"cutoff": 2.0}, windows={"start_token": True})
    record = {
        "settings_sha256": "5" * 64,
        "code": "c" * 64,
        "commit": None,
        "environment": "e" * 64,
        "ended": "2026-01-01T00:00:00.000+00:00",
        "inputs": {"data/train": {"manifests": {"manifest.json": "d" * 64}}},
    }
    write_json(made.folder / "run.json", record)
    weights = sha256_of_file(made.folder / "model.safetensors")
    for kind in FORMATS:
        export_model(made.folder, tmp_path / kind, kind)
        text = (tmp_path / kind / "README.md").read_text()
        for words in ("0123456789abcdef", "5" * 64, "c" * 64, "d" * 64, "e" * 64, weights, "cutoff 2.0", "64 tokens"):
            assert words in text
        assert "start token before every text" in text
        assert "commit" not in text and str(made.folder) not in text


def test_the_tokenizer_is_found_named_or_left_out(make, tokenizer, tmp_path):
    made = make("hope")
    away = tmp_path / "away"
    away.mkdir()
    for name in ("model.safetensors", "config.json"):
        (away / name).write_bytes((made.folder / name).read_bytes())
    assert export_model(away, tmp_path / "a").endswith("without a tokenizer: none was found or none was asked for")
    assert not (tmp_path / "a" / "tokenizer.json").exists()
    assert json.loads((tmp_path / "a" / "config.json").read_text())["eos_token_id"] is None
    assert "AutoTokenizer" not in (tmp_path / "a" / "README.md").read_text()
    theirs = made.data / "tokenizer"
    export_model(away, tmp_path / "b", tokenizer=str(theirs))
    assert (tmp_path / "b" / "tokenizer.json").read_bytes() == (theirs / "tokenizer.json").read_bytes()
    assert export_model(made.folder, tmp_path / "c", tokenizer="none").endswith("asked for")
    with pytest.raises(UserError, match=r"--tokenizer: .* holds no tokenizer.json"):
        export_model(away, tmp_path / "d", tokenizer=str(tmp_path))
    (theirs / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer.json: not a tokenizer"):
        export_model(made.folder, tmp_path / "e")
    tokenizer_of_more = json.loads(tokenizer.to_str())
    tokenizer_of_more["model"]["vocab"]["more"] = 300
    (theirs / "tokenizer.json").write_text(json.dumps(tokenizer_of_more))
    with pytest.raises(UserError, match="has 301 tokens, but .* has 300; put the tokenizer.json there that belongs"):
        export_model(made.folder, tmp_path / "f")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "away", "b", "c"]


def test_families_of_plain_rotation_export_and_all_others_are_one_clear_line(make, tmp_path, capsys):
    for name, family in FAMILIES.items():
        status = main(["export", str(make(name, layers=1).folder), str(tmp_path / name)])
        error = capsys.readouterr().err
        plain = family.spectrum is not None or name == "none"
        assert (status, (tmp_path / name).exists()) == ((0, True) if plain else (1, False)), name
        if not plain:
            assert error.count("\n") == 1 and "encoding 'it' does not rotate by angles linear in position" in error
            assert "after `import hope` the model folder itself loads with AutoModelForCausalLM" in error


def test_nothing_is_overwritten_and_nothing_half_written_stays(make, tmp_path, monkeypatch):
    made = make("hope")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="file: exists and is not overwritten"):
        export_model(made.folder, tmp_path / "file")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "write_text", fail)
    for kind in FORMATS:
        with pytest.raises(OSError):
            export_model(made.folder, tmp_path / "out", kind)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_comes_to_be_meanwhile_stays_as_it_is(tmp_path):
    with pytest.raises(UserError, match="exists and is not overwritten"), whole_folder(tmp_path / "out") as temporary:
        (temporary / "a").write_text("ours")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "b").write_text("theirs")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "b"]


def test_what_is_no_model_of_ours_is_one_clear_line(tmp_path, capsys):
    assert main(["export", str(tmp_path), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"hope: error: {tmp_path / 'config.json'}: there is no such file\n"
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path), str(tmp_path / "out"), "--format", "lama"])


def test_what_a_killed_process_of_the_same_number_left_is_in_nobodys_way(tmp_path):
    (tmp_path / f".out.{os.getpid()}.part").mkdir()
    (tmp_path / f".out.{os.getpid()}.part" / "old").touch()
    with whole_folder(tmp_path / "out") as temporary:
        (temporary / "new").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


@pytest.mark.parametrize("below", ["out", "deeper/out"])
def test_a_place_below_a_file_is_one_line(below, tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=f"file/{below}: cannot be made .*; name a folder in another"),
        whole_folder(tmp_path / "file" / below),
    ):
        raise AssertionError("a folder below a file")
