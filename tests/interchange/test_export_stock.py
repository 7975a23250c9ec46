"""Exported checkpoints, loaded and generated from by transformers alone."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hope.encodings.rotary import Rotary
from hope.errors import UserError
from hope.interchange.exporting import export_model
from hope.interchange.rotation import rotation_of
from tests.interchange import stock_runner
from tests.interchange.made_models import NEW_TOKENS, Made, optional_python, random_ids, run_alone

LAST = 8_191
# Encoding, its settings, head dimension, training length, components kept. The prompt of 110 tokens and what is
# generated pass the end of the training length at head dimension 88, where 2K/d loses a component by rounding.
CASES = {
    "hope": ("hope", {}, 88, 118, 15),
    "hope-base": ("hope", {"base": 500_000.0}, 128, 4096, 32),
    "rope-base": ("rope", {"base": 800.0}, 48, 512, 24),
    "none": ("none", {}, 64, 512, 0),
    "one": ("p_rope", {"p": 0.04}, 64, 512, 1),
    # Every second component: a geometric sequence, which the front of a head can hold.
    "second": ("hope", {"freeze": "listed", "components": list(range(1, 32, 2))}, 64, 512, 16),
    # Neither a prefix nor a geometric sequence: per-frequency factors, and no partial-rotary form.
    "soft": ("clipped_rope", {"kind": "soft"}, 64, 512, 31),
    "band": ("hope", {"freeze": "band", "band": [2.0, 20.0]}, 64, 512, None),
}
FACTORS = ("soft", "band")
KEYS = [("llama", name) for name in CASES] + [("partial-rotary", name) for name in CASES if name not in FACTORS]


@pytest.fixture(scope="module")
def models(make) -> dict[str, Made]:
    return {name: make(case[0], case[1], head_dim=case[2], length=case[3]) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def jobs(models, tmp_path_factory) -> dict[tuple[str, str], dict]:
    root, jobs = tmp_path_factory.mktemp("stock"), {}
    for kind, name in KEYS:
        folder = root / f"{name}-{kind}"
        export_model(models[name].folder, folder, kind)
        ids = random_ids(160, models[name].model.vocabulary, seed=list(CASES).index(name))
        positions = np.linspace(0, LAST, len(ids)).round().astype(int).tolist()
        job = {"folder": str(folder), "ids": [ids], "positions": positions, "prompt": ids[:110], "new": NEW_TOKENS}
        jobs[kind, name] = job
    return jobs


@pytest.fixture(scope="module")
def greedy(models, jobs) -> dict[str, list[int]]:
    return {name: made.greedy(jobs["llama", name]["prompt"], end=1) for name, made in models.items()}


@pytest.fixture(scope="module")
def answers_of_4(jobs, tmp_path_factory) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """What transformers 4 makes of the checkpoints."""
    python = optional_python("HOPE_TRANSFORMERS_4", "transformers 4.57")
    answers = run_alone(python, "stock_runner.py", list(jobs.values()), tmp_path_factory.mktemp("answers4"))
    return dict(zip(jobs, answers, strict=True))


class Float32Angles(Rotary):
    """The rotation as stock tools compute it: from the frequencies that they arrived at, in float32 throughout."""

    def prepare(self, positions):
        angles = positions.float()[:, None] * self.frequencies.float()
        return angles.cos(), angles.sin()


def assert_equal(made: Made, kind: str, job: dict, answer: dict, generated: list[int]) -> None:
    """Assert that a stock model is the decoder: its frequencies, its logits given those, and its greedy tokens."""
    assert "error" not in answer, answer
    exact = rotation_of(made.model.encoding, "it")
    turning = (exact != 0).nonzero()[:, 0]
    stock = torch.zeros_like(exact)
    stock[slice(None) if kind == "llama" else turning] = torch.as_tensor(answer["inv_freq"]).double()
    assert torch.equal(stock.abs() > 1e-25, exact != 0)
    torch.testing.assert_close(stock, exact, rtol=4e-7, atol=1e-25)

    ids, positions = job["ids"][0], job["positions"]
    expected = made.logits(ids, positions)
    logits = torch.as_tensor(answer["logits"][0])
    spread = float(expected.std())
    # A float32 angle of 8,191 radians is off by a quarter of a milliradian, and these weights are loud.
    torch.testing.assert_close(logits, expected, rtol=0, atol=0.005 * spread)
    plain = made.model.encoding
    try:
        made.model.encoding = Float32Angles(plain.shape, stock)
        torch.testing.assert_close(logits, made.logits(ids, positions), rtol=0, atol=1e-4 * spread)
        if len(turning):
            lost = exact.clone()
            lost[turning[-1]] = 0
            made.model.encoding = Rotary(plain.shape, lost)
            assert (logits - made.logits(ids, positions)).abs().max() > 0.02 * spread
    finally:
        made.model.encoding = plain
    assert answer["generated"].tolist() == generated


@pytest.mark.parametrize(("kind", "name"), KEYS)
def test_it_is_the_same_model(kind, name, models, jobs, greedy):
    kept = CASES[name][4]
    assert kept is None or int((rotation_of(models[name].model.encoding, "it") != 0).sum()) == kept
    answer = stock_runner.run(jobs[kind, name])
    architecture = "llama.modeling_llama.Llama" if kind == "llama" else "phi3.modeling_phi3.Phi3"
    assert answer["class"] == f"transformers.models.{architecture}ForCausalLM"
    assert_equal(models[name], kind, jobs[kind, name], answer, greedy[name])


@pytest.mark.parametrize("name", FACTORS)
def test_what_is_no_geometric_sequence_has_no_partial_rotary_form(name, models, tmp_path):
    with pytest.raises(UserError, match=r"encoding 'it': .* no geometric sequence .*use --format llama or gguf"):
        export_model(models[name].folder, tmp_path / "out", "partial-rotary")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "name"), KEYS)
def test_transformers_4_reads_it_or_refuses_what_it_would_get_wrong(kind, name, models, jobs, greedy, answers_of_4):
    answer = answers_of_4[kind, name]
    if kind == "llama" and name in ("hope", "hope-base", "none", "one"):
        assert str(answer["error"]) == "KeyError: 'proportional'"
    else:
        assert_equal(models[name], kind, jobs[kind, name], answer, greedy[name])


@pytest.mark.slow
def test_a_text_of_8192_tokens_without_the_project(make, tmp_path: Path):
    made = make("hope", head_dim=64, length=512, layers=1)
    export_model(made.folder, tmp_path / "out")
    ids = random_ids(LAST + 1, made.model.vocabulary)
    job = {"folder": str(tmp_path / "out"), "ids": [ids], "positions": list(range(LAST + 1))}
    (answer,) = run_alone(sys.executable, "stock_runner.py", [job | {"prompt": ids[:9], "new": 1}], tmp_path)
    expected, logits = made.logits(ids), torch.from_numpy(answer["logits"][0])
    torch.testing.assert_close(logits, expected, rtol=0, atol=0.005 * float(expected.std()))
