"""The sentences of the notebooks report the planted effects, with the numbers of the tables."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hope.errors import UserError
from hope.reporting.articles.article import Article
from hope.reporting.articles.findings import FINDINGS
from hope.reporting.articles.findings_training import _from_then_on
from hope.reporting.study_tables import StudyTables
from tests.reporting.make_study import LENGTH, Truth, make_study

TRAINING = {"length": LENGTH, "tokens": LENGTH * 8 * 1000, "batch_windows": 8, "warmup_steps": 4}
SEEDS = {"rope": 3, "hope": 3, "none": 1}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("study"), seeds=SEEDS, training=TRAINING)


def sentences(study: Path, name: str) -> list[str]:
    return [sentence.replace("−", "-") for sentence in FINDINGS[name](StudyTables(study).arms["text"])]


def of(study: Path, name: str, encoding: str) -> str:
    """Return the first sentence that speaks of one encoding."""
    return next(sentence for sentence in sentences(study, name) if sentence.startswith(encoding))


def numbers(sentence: str) -> list[float]:
    return [
        float(found)
        for found in re.findall(r"(?<![\w.])[+-]?\d+(?:\.\d+)?", sentence.replace(",", "").replace("(1 seed)", ""))
    ]


def test_a_planted_u_shape_is_told_from_its_nulls(study: Path) -> None:
    said = of(study, "ushape", "rope")
    assert "a U-shape that the nulls lack" in said
    tables = [pd.read_parquet(study / f"analysis/text/rope/seed{seed}/ushape.parquet") for seed in range(3)]
    own = pd.concat([table[table["query"] == LENGTH - 1].assign(seed=n) for n, table in enumerate(tables)])
    mean = own.groupby("subject")["index_without_sink"].mean()
    found = numbers(said)
    assert found[0] == pytest.approx(mean["trained"], rel=5e-3)
    assert found[3] == pytest.approx(mean["trained"] - mean["initial"], rel=5e-3)


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    flat = make_study(tmp_path, Truth(index={"rope": -0.1, "hope": -0.4}, index_initial=-0.1), SEEDS, training=TRAINING)
    assert "a U-shape that" not in of(flat, "ushape", "rope")
    assert "no U-shape" in of(flat, "ushape", "hope")
    assert "is not shown to differ from that at the start" in of(flat, "ushape_over_time", "rope")
    assert "the index lies below that at the start" in of(flat, "ushape_over_time", "hope")


def test_a_single_model_gets_no_interval_and_no_verdict(study: Path) -> None:
    assert "one model, no interval" in of(study, "ushape", "none (1 seed)") and "[" not in of(
        study, "ushape", "none (1"
    )
    assert "no moment is named" in of(study, "ushape_over_time", "none (1 seed)")


def test_the_sink_is_the_mean_mass_of_the_first_key(study: Path) -> None:
    (said,) = sentences(study, "sink")
    profile = pd.read_parquet(study / "analysis/text/none/seed0/profile.parquet")
    own = profile.query(f"axis == 'key' and start == 0 and query == {LENGTH - 1} and subject == 'trained'")[
        "mass"
    ].mean()
    assert f"{own:.1%} in none (1 seed)" in said and f"an even share would be {100 / LENGTH:.2g}%" in said


def test_the_divergence_stands_in_its_order_beside_the_loss(study: Path) -> None:
    first, second = sentences(study, "divergence")
    assert first.startswith("At 2L ") and first.index("hope") < first.index("none") < first.index("rope")
    rises = {}
    for name, count in SEEDS.items():
        tables = [
            pd.read_parquet(study / f"evaluation/text/{name}/seed{seed}/extrapolation.parquet") for seed in range(count)
        ]
        table = pd.concat(tables)
        table = table[table["extension"] == "none"]
        parts = [table[table["end"] <= LENGTH], table[(table["start"] >= LENGTH) & (table["end"] <= 2 * LENGTH)]]
        within, past = (part["nll"].sum() / part["tokens"].sum() for part in parts)
        rises[name] = past - within
    assert numbers(second)[:3] == pytest.approx([rises["hope"], rises["none"], rises["rope"]], rel=6e-3)


def test_activated_components_and_their_wavelengths(study: Path) -> None:
    said = of(study, "components", "rope")
    # Planted are 0 and 1 of 8, theta_j = 10000^(-2j/16), so that wavelengths are 2 pi / (theta_j L).
    waves = [2 * np.pi / (10_000 ** (-j / 8) * LENGTH) for j in (0, 1)]
    assert "of 8 components that turn, numbers 0 and 1 are activated" in said
    assert numbers(said)[4:6] == pytest.approx(waves, rel=3e-2)
    assert "None is longer than L" in said and "25% of the variance" in said


def test_an_intervention_is_paired_with_the_model_as_it_is(study: Path) -> None:
    said = of(study, "intervention", "rope")
    parts = [pd.read_parquet(study / f"analysis/text/rope/seed{seed}/intervention.parquet") for seed in range(3)]
    own = pd.concat(parts).query("measure == 'index_without_sink'").groupby(["mode", "set"])["value"].mean()
    assert numbers(said)[0] == pytest.approx(own["freeze", "activated"] - own["none", "none"], rel=6e-3)
    slow = of(study, "slow_components", "hope")
    assert "frozen" in slow and "removed" in slow


def test_decay_and_its_floor(study: Path) -> None:
    rope, hope = of(study, "decay", "rope"), of(study, "decay", "hope")
    assert rope.endswith("it has no floor.")
    kept = StudyTables(study).arms["text"].kept("hope")
    assert numbers(hope)[-1] == pytest.approx(1 - kept / 8)
    frequencies = 10_000 ** (-np.arange(8) / 8)
    far = np.arange(8 * LENGTH, 16 * LENGTH)
    assert numbers(rope)[-3] == pytest.approx(np.cos(far[:, None] * frequencies).mean(), abs=0.03)


def test_the_planted_moments_are_found(study: Path) -> None:
    # The made-up index rises at half of the steps, and components 0 and 1 do at a quarter of them.
    assert "from step 500 on (50.0% of the training, 256,000 tokens" in of(study, "ushape_over_time", "rope")
    said = of(study, "activation_over_time", "rope")
    assert "from step 250 (25.0% of the training) on at least 75%" in said
    assert "half of its final size, 0.500 logits, at step 250" in said


def test_a_moment_is_named_from_which_on_the_sign_stays() -> None:
    assert _from_then_on([1, 2, 3, 4], [1, -1, 1, 1]) == 3 and _from_then_on([1, 2], [1, 0]) is None


def test_a_study_without_tables_says_so(tmp_path: Path) -> None:
    bare = make_study(tmp_path, seeds={"rope": 1, "none": 1}, training=TRAINING | {"snapshots": 0})
    for path in [*bare.glob("analysis/text/*/*/*.parquet"), *bare.glob("analysis/text/theory/*.parquet")]:
        path.unlink()
    for name in FINDINGS:
        assert "no numbers for this" in Article(bare).finding(name).html


def test_a_misspelt_finding_is_named(study: Path) -> None:
    with pytest.raises(UserError, match=r"'ushap' is no finding \(did you mean 'ushape'\?\)"):
        Article(study).finding("ushap")
