"""Whatever stands in a config, a claims file or a checkpoint: it is read, or one line names the mistake."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hope.config import parse_study
from hope.config.documents import read_document
from hope.errors import UserError
from hope.reporting.claims_check import check_claims
from hope.reporting.claims_file import load_claims
from tests.conftest import ROOT
from tests.errors.kinds import STOCK

EXAMPLES = int(os.environ.get("HOPE_FUZZ_EXAMPLES", "40"))
"""Examples per test; more for a long search."""
FUZZ = settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
CLAIMS = yaml.safe_load((ROOT / "workflow" / "claims.yaml").read_text(encoding="utf-8"))

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 10)
    | st.floats()
    | st.dates()
    | st.binary(max_size=4)
    | st.text(max_size=8)
    | st.sampled_from(["rope", "hope", "text", "copy", "seed", "", "..", "a:B", "complete", "constant", "none"])
)
keys = st.text(max_size=6) | st.integers(-1, 3) | st.none() | st.sampled_from(["encodings", "arms", "settings", "text"])
values = st.recursive(
    scalars, lambda of: st.lists(of, max_size=3) | st.dictionaries(keys, of, max_size=3), max_leaves=6
)


def places(content: Any) -> list[tuple[Any, Any]]:
    """Return each container of a document with each of its keys."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in list(entries) for place in [(content, key), *places(value)]]


@st.composite
def changed(draw: Callable[[Any], Any], document: Any) -> Any:
    """Return a document with one to three values replaced, dropped or added."""
    result = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        open_places = places(result)
        if not open_places:
            break
        container, key = open_places[draw(st.integers(0, len(open_places) - 1))]
        action = draw(st.sampled_from(["replace", "drop", "add", "rename"]))
        if action == "replace":
            container[key] = draw(values)
        elif action == "drop":
            del container[key]
        elif isinstance(container, dict):
            container[draw(keys)] = draw(values) if action == "add" else container.pop(key)
    return result


def is_read_or_refused(read: Callable[[], Any]) -> None:
    try:
        read()
    except UserError as error:
        assert len(error.line.strip().splitlines()) == 1


@FUZZ
@given(over=changed(CONFIG))
def test_a_changed_config(over: Any) -> None:
    is_read_or_refused(lambda: parse_study(over, "my.yaml").runs())


@FUZZ
@given(over=st.dictionaries(keys, values, max_size=4) | values)
def test_any_overlay(over: Any) -> None:
    is_read_or_refused(lambda: parse_study(over, "my.yaml").runs())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@FUZZ
@given(text=st.binary(max_size=60) | st.text("{}[]:,-?&*!|>%@`'\"# \n\tab1", max_size=60).map(str.encode))
@pytest.mark.parametrize("name", ["any.yaml", "any.json"])
def test_any_file(folder: Path, name: str, text: bytes) -> None:
    (folder / name).write_bytes(text)
    is_read_or_refused(lambda: read_document(folder / name, "config file"))


@FUZZ
@given(content=changed(CLAIMS))
def test_a_changed_claims_file(folder: Path, content: Any) -> None:
    path, study = folder / "claims.json", parse_study(CONFIG, "config.yaml")
    path.write_text(json.dumps(content, default=str, skipkeys=True), encoding="utf-8")
    is_read_or_refused(lambda: check_claims(load_claims(path), study, path))


@pytest.fixture(scope="module")
def weights(folder: Path) -> bytes:
    """Return a safetensors file of a small Llama."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**json.loads(STOCK))).save_pretrained(folder / "stock")
    return (folder / "stock" / "model.safetensors").read_bytes()


def imported(folder: Path, config: bytes, weights: bytes) -> None:
    import shutil

    from hope.interchange.importing import import_checkpoint

    shutil.rmtree(folder / "in", ignore_errors=True)
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "in").mkdir()
    (folder / "in" / "config.json").write_bytes(config)
    (folder / "in" / "model.safetensors").write_bytes(weights)
    is_read_or_refused(lambda: import_checkpoint(folder / "in", folder / "out", None, None))


@FUZZ
@given(content=changed(json.loads(STOCK)))
def test_a_checkpoint_with_a_changed_config(folder: Path, weights: bytes, content: Any) -> None:
    imported(folder, json.dumps(content, default=str, skipkeys=True).encode(), weights)


@FUZZ
@given(place=st.integers(0, 2000), byte=st.integers(0, 255), length=st.integers(0, 4000) | st.none())
def test_a_checkpoint_with_changed_weights(
    folder: Path, weights: bytes, place: int, byte: int, length: int | None
) -> None:
    broken = weights[:place] + bytes([byte]) + weights[place + 1 :]
    imported(folder, STOCK.encode(), broken[:length])
