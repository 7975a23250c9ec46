"""Claims on made-up endpoints: differences that a test states, judged as a study's are."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from hope.config import Study, to_json
from hope.measures import Endpoint
from hope.reporting.claims import judge
from hope.reporting.estimates import COLUMNS
from tests.reporting.make_study import TEXT, settings

PAST_L = Endpoint("octave_loss", multiple=4.0)
WITHIN_L = Endpoint("loss_within")
COPIED = Endpoint("accuracy", task="copy", multiple=1.0)
FAR = Endpoint("kernel_far")
SHIPPED = Path(__file__).parents[3] / "workflow" / "claims.yaml"

PAST = {
    "id": "past",
    "statement": "Below RoPE past L.",
    "treatment": {"encoding": "hope", "measure": "octave_loss", "multiple": 4.0},
    "baseline": {"encoding": "rope", "measure": "octave_loss", "multiple": 4.0},
    "direction": "lower",
    "kind": "superiority",
    "smallest_effect": 0.01,
    "unit": "nats per token",
}
WITHIN = {
    **PAST,
    "id": "within",
    "treatment": {"encoding": "hope", "measure": "loss_within"},
    "baseline": {"encoding": "rope", "measure": "loss_within"},
    "kind": "non_inferiority",
    "margin": 0.01,
}
del WITHIN["smallest_effect"]
FEW_SHOT = {"id": "few_shot", "statement": "Follows examples.", "not_measured": "there is no such task."}
COPY = {
    **PAST,
    "id": "copy",
    "treatment": {"encoding": "hope", "measure": "accuracy", "task": "copy", "multiple": 1.0},
    "baseline": {"encoding": "rope", "measure": "accuracy", "task": "copy", "multiple": 1.0},
    "direction": "higher",
    "smallest_effect": 0.05,
    "informative": {"lowest": 0.1, "highest": 0.95},
}
EXACT = {
    **PAST,
    "id": "floor",
    "treatment": {"encoding": "hope", "measure": "kernel_far"},
    "baseline": {"constant": 0.5},
    "direction": "equal",
    "kind": "exact",
    "margin": 0.02,
}
del EXACT["smallest_effect"]


def claim(*parts: dict, **changes) -> dict:
    """Return a claim of these parts on the arm of text."""
    words = {"id": "1", "title": "A claim", "statement": "It is so.", "source": "ours", "arm": TEXT}
    return {**words, "parts": list(parts), **changes}


def noise(mean: float, spread: float, seeds: int = 3, units: int = 6) -> np.ndarray:
    """Return differences whose mean is ``mean`` exactly, scattered over seeds and units by ``spread``."""
    matrix = np.random.default_rng(5).normal(size=(seeds, units)) + np.linspace(-1, 1, seeds)[:, None]
    return mean + spread * (matrix - matrix.mean())


Values = dict[tuple[str, Endpoint], np.ndarray]
"""Endpoints by encoding, each [seeds, units]."""


def verdicts(folder: Path, claims: list[dict], values: Values, **seeds: int) -> dict:
    """Judge claims on a study of one arm that has these endpoints; return ``claims.json``."""
    return verdicts_of_arms(folder, claims, {TEXT: values}, settings(seeds or {"rope": 3, "hope": 3}))


def verdicts_of_arms(folder: Path, claims: list[dict], values: dict[str, Values], known: Study) -> dict:
    """Judge claims on a study whose arms have these endpoints; return ``claims.json``."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(to_json(known))
    rows = [
        {"arm": arm, **endpoint.columns, "encoding": encoding, "seed": seed, "unit": unit, "value": value}
        for arm, of_arm in values.items()
        for (encoding, endpoint), matrix in of_arm.items()
        for seed, of_units in enumerate(np.atleast_2d(matrix))
        for unit, value in enumerate(of_units)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame.to_parquet(folder / "tables" / "endpoints.parquet", index=False)
    (folder / "claims.yaml").write_text(yaml.safe_dump({"claims": claims}))
    judge(folder, folder / "claims.yaml")
    return json.loads((folder / "claims.json").read_text())


def one(folder: Path, part: dict, difference: np.ndarray, baseline: float = 4.0, **seeds: int) -> dict:
    """Judge a claim of one part whose treatment minus baseline is ``difference``."""
    sides = [(part[side]["encoding"], Endpoint.of(part[side])) for side in ("treatment", "baseline")]
    values = {sides[0]: baseline + difference, sides[1]: np.full_like(difference, baseline)}
    return verdicts(folder, [claim(part)], values, **seeds)["claims"][0]
