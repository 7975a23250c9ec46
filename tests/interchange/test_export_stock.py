"""Exported checkpoints, loaded and generated from by transformers alone, in a process without the project."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hope.encodings.rotary import Rotary
from hope.interchange.exporting import export_model
from hope.interchange.rotation import rotation_of
from tests.interchange.made_models import NEW_TOKENS, Made, optional_python, random_ids, run_alone

LAST = 8_191
TRANSFORMERS_4 = "HOPE_TRANSFORMERS_4"
# Encoding, its settings, head dimension, training length, components kept. The prompt of 100 tokens and what is
# generated pass the end of the training length at head dimension 88.
HOPE = {
    48: ("hope", {}, 48, 4096, 17),
    64: ("hope", {}, 64, 512, 16),
    88: ("hope", {}, 88, 118, 15),
    100: ("hope", {}, 100, 1093, 29),
    128: ("hope", {"base": 500_000.0}, 128, 4096, 32),
}
OTHERS = {
    "rope": ("rope", {}, 64, 512, 32),
    "rope-base": ("rope", {"base": 800.0}, 48, 512, 24),
    "none": ("none", {}, 64, 512, 0),
    "p_rope": ("p_rope", {"p": 0.75}, 64, 512, 24),
    "partial_rope": ("partial_rope", {"share": 0.25}, 64, 512, 8),
    "clipped-hard": ("clipped_rope", {"kind": "hard"}, 64, 512, 16),
    "one": ("p_rope", {"p": 0.04}, 64, 512, 1),
}
# No prefix: per-frequency factors.
FACTORS = {
    "clipped-soft": ("clipped_rope", {"kind": "soft"}, 64, 512, 31),
    "band": ("hope", {"freeze": "band", "band": [2.0, 20.0]}, 64, 512, None),
    "slow-alone": ("hope", {"freeze": "fast"}, 64, 512, 16),
    "random": ("hope", {"freeze": "random", "seed": 1}, 64, 512, 16),
}
# Every second component: a geometric sequence, which the front of a head can hold.
SECOND = {"second": ("hope", {"freeze": "listed", "components": list(range(1, 32, 2))}, 64, 512, 16)}
CASES = {f"hope-{dim}": case for dim, case in HOPE.items()} | OTHERS | FACTORS | SECOND


@pytest.fixture(scope="module")
def models(make) -> dict[str, Made]:
    return {name: make(case[0], case[1], head_dim=case[2], length=case[3]) for name, case in CASES.items()}


def jobs_of(models: dict[str, Made], kind: str, names: list[str], root: Path) -> list[dict]:
    jobs = []
    for name in names:
        folder = root / f"{name}-{kind}"
        export_model(models[name].folder, folder, kind)
        ids = random_ids(160, models[name].model.vocabulary, seed=list(CASES).index(name))
        positions = np.linspace(0, LAST, len(ids)).round().astype(int).tolist()
        jobs.append(
            {"folder": str(folder), "ids": [ids], "positions": positions, "prompt": ids[:100], "new": NEW_TOKENS}
        )
    return jobs


PARTIAL = [name for name in CASES if name not in FACTORS]


@pytest.fixture(scope="module")
def jobs(models, tmp_path_factory) -> dict[tuple[str, str], dict]:
    root = tmp_path_factory.mktemp("stock")
    llama, partial = jobs_of(models, "llama", list(CASES), root), jobs_of(models, "partial-rotary", PARTIAL, root)
    keys = [("llama", name) for name in CASES] + [("partial-rotary", name) for name in PARTIAL]
    jobs = dict(zip(keys, llama + partial, strict=True))
    for (kind, name), job in jobs.items():
        first = jobs["llama", name]
        job["expected"] = models[name].greedy(job["prompt"], end=1) if kind == "llama" else first["expected"]
    return jobs


@pytest.fixture(scope="module")
def answers(jobs, tmp_path_factory) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """What the transformers that this project is pinned to makes of every checkpoint."""
    found = run_alone(sys.executable, "stock_runner.py", list(jobs.values()), tmp_path_factory.mktemp("answers"))
    return dict(zip(jobs, found, strict=True))


@pytest.fixture(scope="module")
def answers_of_4(jobs, tmp_path_factory) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """What transformers 4 makes of them."""
    python = optional_python(TRANSFORMERS_4, "transformers 4.57")
    found = run_alone(python, "stock_runner.py", list(jobs.values()), tmp_path_factory.mktemp("answers4"))
    return dict(zip(jobs, found, strict=True))


class Float32Angles(Rotary):
    """The rotation as stock tools compute it: from the frequencies that they arrived at, in float32 throughout."""

    def prepare(self, positions):
        angles = positions.float()[:, None] * self.frequencies.float()
        return angles.cos(), angles.sin()


def assert_equal(made: Made, job: dict, answer: dict[str, np.ndarray], components: list[int]) -> None:
    """Assert that a stock model is the decoder: its frequencies, its logits given those, and what it generates."""
    assert "error" not in answer, answer
    exact = rotation_of(made.model.encoding, "it")
    stock = torch.zeros_like(exact)
    stock[components] = torch.from_numpy(answer["inv_freq"]).double()
    assert torch.equal(stock.abs() > 1e-25, exact != 0)
    torch.testing.assert_close(stock, exact, rtol=4e-7, atol=1e-25)

    ids, positions = job["ids"][0], job["positions"]
    expected = made.logits(ids, positions)
    found = torch.from_numpy(answer["logits"][0])
    spread = float(expected.std())
    # A float32 angle of 8,191 radians is off by a quarter of a milliradian, and these weights are loud.
    torch.testing.assert_close(found, expected, rtol=0, atol=0.005 * spread)
    plain = made.model.encoding
    try:
        made.model.encoding = Float32Angles(plain.shape, stock)
        torch.testing.assert_close(found, made.logits(ids, positions), rtol=0, atol=1e-4 * spread)
        turning = (exact != 0).nonzero()[:, 0]
        if len(turning):
            lost = exact.clone()
            lost[turning[-1]] = 0
            made.model.encoding = Rotary(plain.shape, lost)
            assert (found - made.logits(ids, positions)).abs().max() > 0.02 * spread
    finally:
        made.model.encoding = plain
    assert answer["generated"].tolist() == job["expected"]


@pytest.mark.parametrize("name", CASES)
def test_as_llama_it_is_the_same_model(name, models, jobs, answers):
    made, answer = models[name], answers["llama", name]
    kept = CASES[name][4]
    frequencies = rotation_of(made.model.encoding, "it")
    assert kept is None or int((frequencies != 0).sum()) == kept
    assert str(answer["kind"]) == "LlamaForCausalLM"
    assert str(answer["module"]).startswith("transformers.")
    assert_equal(made, jobs["llama", name], answer, list(range(len(frequencies))))


@pytest.mark.parametrize("name", PARTIAL)
def test_as_partial_rotary_it_is_the_same_model(name, models, jobs, answers):
    made, answer = models[name], answers["partial-rotary", name]
    assert str(answer["kind"]) == "Phi3ForCausalLM"
    turning = (rotation_of(made.model.encoding, "it") != 0).nonzero()[:, 0].tolist()
    assert_equal(made, jobs["partial-rotary", name], answer, turning)


@pytest.mark.parametrize("name", FACTORS)
def test_what_is_no_geometric_sequence_has_no_partial_rotary_form(name, models, tmp_path):
    from hope.errors import UserError

    with pytest.raises(UserError, match=r"encoding 'it': .* no geometric sequence .*use --format llama or gguf"):
        export_model(models[name].folder, tmp_path / "out", "partial-rotary")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", PARTIAL)
def test_transformers_4_reads_the_partial_rotary_form(name, models, jobs, answers_of_4):
    made, key = models[name], ("partial-rotary", name)
    turning = (rotation_of(made.model.encoding, "it") != 0).nonzero()[:, 0].tolist()
    assert_equal(made, jobs[key], answers_of_4[key], turning)


@pytest.mark.parametrize("name", CASES)
def test_transformers_4_refuses_what_it_would_get_wrong(name, models, jobs, answers_of_4):
    answer, frequencies = answers_of_4["llama", name], rotation_of(models[name].model.encoding, "it")
    if name in FACTORS or name in SECOND or name.startswith("rope"):
        assert_equal(models[name], jobs["llama", name], answer, list(range(len(frequencies))))
    else:
        assert str(answer["error"]) == "KeyError: 'proportional'"


def test_a_text_of_8192_tokens(make, tmp_path):
    made = make("hope", head_dim=64, length=512, layers=1)
    export_model(made.folder, tmp_path / "out")
    ids = random_ids(LAST + 1, made.model.vocabulary)
    job = {
        "folder": str(tmp_path / "out"),
        "ids": [ids],
        "positions": list(range(LAST + 1)),
        "prompt": ids[:9],
        "new": 1,
    }
    (answer,) = run_alone(sys.executable, "stock_runner.py", [job], tmp_path)
    expected = made.logits(ids)
    torch.testing.assert_close(
        torch.from_numpy(answer["logits"][0]), expected, rtol=0, atol=0.005 * float(expected.std())
    )
