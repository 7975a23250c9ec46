"""A model folder loads with transformers' Auto classes after ``import hope``, whichever came first."""

import importlib
import os
import subprocess
import sys
import warnings
from importlib.machinery import SourceFileLoader

import pytest

from hope.model import registration
from tests.conftest import ROOT
from tests.model.folders import prompt, save

OURS_FIRST = """
import hope
assert not {"torch", "transformers"} & set(sys.modules)
from transformers import AutoTokenizer
assert "hope.model.huggingface" not in sys.modules, "who wants a tokenizer waits for no model"
from transformers import AutoModelForCausalLM
"""
OURS_LAST = """
from transformers import AutoModelForCausalLM
assert "hope" not in sys.modules
import hope
"""
LOAD = """
model = AutoModelForCausalLM.from_pretrained(folder)
assert type(model).__name__ == "HopeForCausalLM"
print(model.generate(torch.tensor(ids), max_new_tokens=6, do_sample=False).tolist())
"""
BROKEN = """
sys.modules["hope.model.huggingface_config"] = None
import hope
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from transformers import AutoConfig
print(AutoConfig.for_model("llama").model_type, [str(one.message) for one in caught if "hope" in str(one.message)])
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("order", [OURS_FIRST, OURS_LAST], ids=["first", "last"])
def test_a_folder_loads_and_generates_without_any_other_import(order, tmp_path):
    import hope.model.huggingface

    save(tmp_path, "darope")
    ids = prompt(rows=1)
    expected = hope.model.huggingface.HopeForCausalLM.from_pretrained(tmp_path).generate(
        ids, max_new_tokens=6, do_sample=False
    )
    code = f"import sys\nfolder, ids = sys.argv[1], {ids.tolist()}\n{order}\nimport torch\n{LOAD}"
    assert run(code, str(tmp_path)) == str(expected.tolist())


def test_transformers_goes_on_where_the_registration_fails():
    found = run(f"import sys, warnings\n{BROKEN}")
    assert found.startswith("llama ['models trained by hope do not load with transformers here: ModuleNotFoundError")


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Modules in the place of transformers' and of ours, and a way of finding them that has noticed nothing."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registration, "AUTO", "made_up_auto")
    monkeypatch.setattr(registration, "CONFIG_MODULE", "made_up_ours")
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if not isinstance(one, registration._Notice)])
    (tmp_path / "made_up_auto.py").write_text("whole = True\n")
    (tmp_path / "made_up_ours.py").write_text("import made_up_auto\nassert made_up_auto.whole\n")
    yield tmp_path
    for name in ("made_up_auto", "made_up_ours"):
        sys.modules.pop(name, None)


def notices() -> int:
    return sum(isinstance(one, registration._Notice) for one in sys.meta_path)


def test_it_waits_for_the_module_and_then_steps_aside(made_up):
    before = list(sys.meta_path)
    registration.register_with_transformers()
    registration.register_with_transformers()
    assert notices() == 1 and "made_up_ours" not in sys.modules
    import json.tool  # noqa: F401 (any other module)

    assert notices() == 1
    auto = importlib.import_module("made_up_auto")
    assert "made_up_ours" in sys.modules and sys.meta_path == before
    assert type(auto.__spec__.loader) is SourceFileLoader and auto.__loader__.get_source("made_up_auto")


def test_it_registers_at_once_where_the_module_is_there(made_up):
    importlib.import_module("made_up_auto")
    registration.register_with_transformers()
    assert "made_up_ours" in sys.modules and not notices()


def test_a_module_that_fails_at_first_is_noticed_the_second_time(made_up):
    path = made_up / "made_up_auto.py"
    path.write_text("raise ImportError('not yet')\n")
    registration.register_with_transformers()
    with pytest.raises(ImportError, match="not yet"):
        importlib.import_module("made_up_auto")
    path.write_text("whole = True  # and of another size\n")
    importlib.invalidate_caches()
    importlib.import_module("made_up_auto")
    assert "made_up_ours" in sys.modules and not notices()


def test_a_module_that_is_not_there_stays_so(made_up):
    (made_up / "made_up_auto.py").unlink()
    importlib.invalidate_caches()
    registration.register_with_transformers()
    with pytest.raises(ModuleNotFoundError, match="No module named 'made_up_auto'"):
        importlib.import_module("made_up_auto")


def test_what_goes_wrong_in_ours_is_a_warning(made_up):
    (made_up / "made_up_ours.py").write_text("raise RuntimeError('no')\n")
    registration.register_with_transformers()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert importlib.import_module("made_up_auto").whole
    assert [str(one.message) for one in caught] == [
        "models trained by hope do not load with transformers here: RuntimeError: no"
    ]
