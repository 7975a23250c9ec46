"""Taking over a study's folder of before there were arms."""

import json
import os
from pathlib import Path

import pytest

from hope.adopt import ROOMS, adopt, check_layout
from hope.config import load_study, parse_study
from hope.errors import UserError
from hope.paths import StudyPaths

FILES = (
    "models/rope/seed0/config.json",
    "models/text/seed1/config.json",  # an encoding that has the name of the arm
    "analysis/rope/seed0/ushape.parquet",
    "analysis/theory/kernel.parquet",
    "evaluation/rope/seed0/extrapolation.parquet",
    "data/corpus/corpus.json",
    "data/train/manifest.json",
    "data/tokenizer/tokenizer.json",
    "data/lengths.json",
    "mlflow/mlflow.db",
    "claims.json",
    "tables/endpoints.parquet",
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A study's folder as it was before there were arms; each file holds its own name."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1_000_000, 1_000_000))
    config = {"study": "old", "encodings": ["rope", "text"], "definitions": {"text": {"family": "rope"}}}
    (tmp_path / "study.json").write_text(json.dumps(config))
    return tmp_path


def moved(study: Path) -> dict[str, str]:
    """Return where each file of before lies now, by its name of before."""
    data = StudyPaths(study).data(parse_study(json.loads((study / "study.json").read_text()), "").arms["text"].data_key)
    places = {name: name.replace("/", "/text/", 1) for name in FILES if name.split("/")[0] in ROOMS}
    return places | {
        name: str(data.relative_to(study) / name.removeprefix("data/"))
        for name in FILES
        if name.startswith("data/") and name != "data/lengths.json"
    }


def test_every_file_moves_as_it_is_and_what_follows_is_made_again(old):
    lines = adopt(old, "text")
    for name, place in moved(old).items():
        assert (old / place).read_text() == name
        assert (old / place).stat().st_mtime == 1_000_000, "a newer file would train the models again"
    assert not (old / "claims.json").exists() and not (old / "tables").exists()
    assert (old / "mlflow-before-arms" / "mlflow.db").exists(), "notes of the user are kept"
    assert lines[-1] == f"continue with: make reproduce CONFIG={old / 'study.json'}"
    study = load_study([Path("config.yaml"), old / "study.json"])
    assert list(study.arms) == ["text"] and study.arms["text"].encodings == ["rope", "text"]
    check_layout(old)
    with pytest.raises(UserError, match="there is nothing to take over"):
        adopt(old, "text")


@pytest.mark.parametrize("room", ["data", "analysis", "evaluation", "models"])
def test_an_interrupted_take_over_goes_on(old, room, monkeypatch):
    rename = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self == old / f".{room}.adopted":
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            adopt(old, "text")
    with pytest.raises(UserError, match="was made before studies had arms"):
        check_layout(old)
    adopt(old, "text")
    for name, place in moved(old).items():
        assert (old / place).read_text() == name
    assert not list(old.glob(".*.adopted"))


def test_an_arm_that_cannot_be_named_so_is_one_line_and_moves_nothing(old):
    with pytest.raises(UserError, match="--arm: 'a/b' must be letters"):
        adopt(old, "a/b")
    assert all((old / name).exists() for name in FILES)


def test_a_folder_of_a_newer_version_is_one_line(tmp_path):
    config = tmp_path / "study.json"
    config.write_text('{"format": 2}')
    check_layout(tmp_path)
    config.write_text('{"format": 3}')
    with pytest.raises(UserError, match="has format 3, and this version reads 2; install the newer version"):
        check_layout(tmp_path)
