"""The shipped claims on whole made-up studies, of which it is known what they should show."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hope.errors import UserError
from hope.measures import known
from hope.reporting.claims import judge
from hope.reporting.claims_file import Part, load_claims
from hope.reporting.endpoints import write_endpoints
from tests.reporting.claims.judging import PAST_L, SHIPPED
from tests.reporting.make_study import RETRIEVAL, TEXT, Truth, make_study, with_retrieval

NUMBERS = [str(number) for number in range(1, 11)]
OF_RETRIEVAL = ["5", "9", "10"]
"""The shipped claims, and those on the arm that is trained on tasks alone."""
QUIET = {"seed_noise": 0.0005, "unit_noise": 0.0005, "noise": 0.002}


def measured(folder: Path, truth: Truth) -> Path:
    """Return a study of both arms with the endpoints that the claims need."""
    tasks = {"tasks": ["repeat", "few_shot", "decoy_recent", "mqar_many"], "multiples": [1.0, 4.0]}
    arms = with_retrieval({"rope": 3, "hope": 3}, retrieval=tasks)
    make_study(folder, truth, seeds={"rope": 3, "hope": 3}, arms=arms, retrieval={"tasks": []})
    write_endpoints(folder)
    return folder


def verdicts(folder: Path) -> dict[str, str]:
    judge(folder, SHIPPED)
    return {judged["id"]: judged["verdict"] for judged in json.loads((folder / "claims.json").read_text())["claims"]}


def reduced(study: Path, folder: Path, kept: str, change: Any) -> dict[str, str]:
    """Return the verdicts with the endpoints that ``kept`` selects, and a changed config."""
    (folder / "tables").mkdir(parents=True)
    content = json.loads((study / "study.json").read_text())
    for arm in list(content["arms"]):
        change(content["arms"], arm)
    (folder / "study.json").write_text(json.dumps(content))
    endpoints = pd.read_parquet(study / "tables" / "endpoints.parquet").query(kept)
    endpoints.to_parquet(folder / "tables" / "endpoints.parquet", index=False)
    return verdicts(folder)


def test_shipped_claims_are_the_ten():
    stated = load_claims(SHIPPED)
    claims = stated.claims
    assert [each.id for each in claims] == NUMBERS
    arms = {each.id: {each.arm, *(part.arm for part in each.parts if isinstance(part, Part))} for each in claims}
    assert arms == {number: {RETRIEVAL if number in OF_RETRIEVAL else TEXT} for number in NUMBERS}
    by_id = {(each.id, part.id): part for each in claims for part in each.parts}
    trained = by_id["3", "expressiveness"]
    assert isinstance(trained, Part) and trained.decides and "workflow/presets/frozen.yaml" in trained.elsewhere
    past, within = by_id["6", "below_rope"], by_id["7", "within"]
    assert isinstance(past, Part) and past.treatment.endpoint == PAST_L
    assert isinstance(within, Part) and within.margin == pytest.approx(np.log(1.01), abs=1e-5)
    # The deciding parts of a claim are about the encodings that it covers.
    for each in claims:
        sides = [side for part in each.parts if isinstance(part, Part) and part.decides for side in part.sides.values()]
        # The measures over all sizes are of HoPE, and have RoPE in them too.
        at_all_sizes = any(known(side.endpoint).source.name == "kernel_sizes" for side in sides)
        used = {side.encoding for side in sides} | ({"rope"} if at_all_sizes else set())
        assert used - {*stated.encodings} == set(each.covers)


def test_a_study_where_the_paper_is_right(tmp_path):
    truth = Truth(
        past={"rope": 0.6, "hope": 0.0},
        within={"hope": -0.1},
        copy={"rope": 0.4, "hope": 0.9},  # far apart: there are few prompts
        copy_past={"rope": 0.3, "hope": 0.8},
        few_shot={"rope": 0.35, "hope": 0.85},
        recall={"rope": 0.02, "hope": 0.98},  # and the objections to HoPE are wrong
        frozen_past=4.0,
        **QUIET,
    )
    study = measured(tmp_path / "study", truth)
    (study / "claims.json").write_text("an older file is replaced")
    right = dict.fromkeys(NUMBERS, "supported") | {"3": "inconclusive", "9": "contradicted", "10": "contradicted"}
    assert verdicts(study) == right
    # Without the arm that is trained on tasks alone, its claims stay open.
    without = reduced(study, tmp_path / "text", "arm == 'text'", lambda arms, arm: arm == TEXT or arms.pop(arm))
    assert without == {**right, **dict.fromkeys(OF_RETRIEVAL, "inconclusive")}
    single = reduced(
        study,
        tmp_path / "single",
        "seed <= 0",
        lambda arms, arm: arms[arm]["seeds"].update(per_encoding={"rope": 1, "hope": 1}),
    )
    assert single == {number: "supported" if number == "4" else "inconclusive" for number in NUMBERS}
    no_hope = reduced(
        study, tmp_path / "rope", "encoding == 'rope'", lambda arms, arm: arms[arm].update(encodings=["rope"])
    )
    assert {no_hope[number] for number in NUMBERS[3:]} == {"inconclusive"} and no_hope["1"] == "supported"


def test_a_study_where_the_paper_is_wrong(tmp_path):
    truth = Truth(
        past={"rope": 0.1, "hope": 0.6},
        within={"hope": 0.2},
        copy={"rope": 0.8, "hope": 0.5},
        copy_past={"rope": 0.8, "hope": 0.5},
        recall={"rope": 0.98, "hope": 0.02},
        index={"rope": -0.5, "hope": -0.5},
        frozen_index=-0.5,
        random_index=-0.7,
        frozen_past=5.5,
        divergence={"rope": 0.2, "hope": 0.4},
        **QUIET,
    )
    # The theory stays what it is, and the objections to HoPE are right.
    right = dict.fromkeys(NUMBERS, "contradicted") | dict.fromkeys(("4", "9", "10"), "supported")
    assert verdicts(measured(tmp_path / "study", truth)) == right


def test_judging_before_the_endpoints_is_one_line(shared_study, tmp_path):
    shutil.copy(shared_study / "study.json", tmp_path)
    with pytest.raises(UserError, match=r"endpoints\.parquet: there is no such file"):
        judge(tmp_path, SHIPPED)
