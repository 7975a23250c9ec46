"""What a model's config.json must say: one line names what is missing or of another type."""

import json
from pathlib import Path

import pytest

from hope.errors import UserError
from hope.model.loading import load_model
from tests.analysis.conftest import write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "rope")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"vocab_size": -1}, r"vocab_size is -1; get the file that the training wrote"),
        ({"windows": {}}, r"windows is \{\}; get the file that the training wrote"),
        ({"shape": []}, r"shape is \[\]; get the file that the training wrote"),
        ({"vocab_size": None}, "vocab_size is None"),
        ({"encoding": "rope"}, "encoding is 'rope'"),
        ({"training_length": "32"}, "training_length is '32'"),
        ({"trained_tasks": None}, "trained_tasks is None"),
        ({"shape": {"layers": "two"}}, r"shape\.layers: .* get the file that the training wrote"),
        ({"encoding": {"name": "rope"}}, r"encoding\.family: .* get the file that the training wrote"),
    ],
)
def test_a_description_that_is_none_is_one_line(changed: dict, words: str, folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | changed))
    with pytest.raises(UserError, match=words) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value) and "delete" not in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "null", "{"])
def test_a_config_that_is_no_object_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json: (holds|not valid JSON)") as caught:
        load_model(tmp_path)
    assert "delete" not in str(caught.value)
