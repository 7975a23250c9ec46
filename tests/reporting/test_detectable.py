"""What a study could see, told beforehand: from its seeds, and the noise of another study."""

import json

import pytest

from hope.config import load_study
from hope.reporting.claims_file import load_claims
from hope.reporting.detectable import NOISE, noise_of, seen_effects
from hope.statistics import Estimate, Noise
from tests.conftest import ROOT

BASE = ROOT / "config.yaml"
SIDE = {"measure": "accuracy", "task": "repeat", "multiple": 4.0}
FOUND = Noise(of_seeds=4e-4, of_units=1e-4, of_rest=5e-5, seeds=5, units=200)


@pytest.fixture
def noise(tmp_path):
    """The noise of a study of one endpoint, as `noise` prints it."""
    parts = {key: getattr(FOUND, key) for key in ("of_seeds", "of_units", "of_rest")}
    part = {"treatment": SIDE | {"encoding": "hope"}, "baseline": SIDE | {"encoding": "rope"}, "noise": parts}
    unmeasured = {"treatment": SIDE, "baseline": {"constant": 0.0}, "noise": None}
    judged = {"study": "x", "claims": [{"parts": [part | {"seeds": 5, "units": 200}, unmeasured]}]}
    (tmp_path / "claims.json").write_text(json.dumps(judged))
    path = tmp_path / "noise.json"
    path.write_text(json.dumps(noise_of(tmp_path / "claims.json")))
    return path


@pytest.fixture(scope="module")
def stated():
    return load_claims(ROOT / "workflow" / "claims.yaml")


def lines(stated, noise, **over):
    return list(seen_effects(stated, load_study([BASE], over), noise))


def test_the_same_seeds_see_what_that_study_could_have_seen(stated, noise):
    (line,) = lines(stated, noise)
    effect = Estimate(0.0, FOUND).detectable()
    assert line == f"claim 5, part copy_past: 5 seeds could see {effect:.4f} of all answer tokens (it asks for 0.05)"


def test_more_seeds_see_less_and_a_single_one_nothing(stated, noise):
    def seen(seeds: int) -> list[float]:
        over = {"arms": {"retrieval": {"seeds": {"per_encoding": {"rope": seeds, "hope": seeds}}}}}
        return [float(line.split("could see ")[1].split()[0]) for line in lines(stated, noise, **over)]

    assert seen(10) < seen(5) < seen(3) and seen(1) == []


def test_an_arm_that_a_study_lacks_has_no_line(stated, noise):
    assert lines(stated, noise, arms={"retrieval": None}) == []


def test_without_a_known_noise_nothing_is_said(stated, tmp_path):
    assert lines(stated, tmp_path / "none.json") == []


def test_the_documented_noise_covers_what_decides_and_is_measured_with_noise(stated):
    known = " ".join(lines(stated, NOISE))
    for part in ("copy_within", "copy_past", "few_shot_past", "below_rope", "within", "departs_less", "recent_decoy"):
        assert f"part {part}:" in known
