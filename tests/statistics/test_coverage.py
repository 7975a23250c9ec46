"""How often the intervals are right: fewer of the studies that `python -m benchmarks.intervals` simulates."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import intervals
from hope.statistics import crossed_moments, holm

STUDIES = 20_000
RESULT = Path(intervals.__file__).parent / "results" / "intervals.json"


@pytest.mark.parametrize("units", intervals.DOCUMENTS)
@pytest.mark.parametrize("seeds", intervals.SEEDS)
@pytest.mark.parametrize("noise", intervals.NAMED)
def test_intervals_hold_the_truth_as_often_as_they_say(noise, seeds, units):
    studies = 150_000 // seeds
    values = intervals.differences(intervals.NOISE[noise], seeds, units, studies)
    covered = intervals.coverage(intervals.crossed(values))
    # Three standard errors inside of the band: a rule whose true coverage lies at its end or beyond passes in 0.1% of
    # drawings. The truth, at 3 seeds in balance 97.6%, is as far from the end as that again.
    allowance = 3 * math.sqrt(covered * (1 - covered) / studies)
    assert intervals.LEAST + allowance < covered < intervals.MOST - allowance


@pytest.mark.parametrize("noise", intervals.NOISE)
@pytest.mark.parametrize("seeds", [2, 3])
def test_few_seeds_never_give_more_false_alarms_than_allowed(noise, seeds):
    values = intervals.differences(intervals.NOISE[noise], seeds, 24, STUDIES)
    mean, moments = crossed_moments(values)
    p = 2 * moments.tail(np.abs(mean))
    for alpha in (0.2, 0.05, 0.05 / 12):
        allowance = 3 * math.sqrt(alpha * (1 - alpha) / STUDIES)
        assert (p < alpha).mean() <= alpha + allowance


def test_the_simulation_tells_wrong_intervals():
    for noise, method in (
        ("seeds rule", intervals.over_documents),  # one mean a document, as if no other models could have been
        ("documents rule", intervals.over_seeds),
        ("balanced", intervals.bootstrap),
    ):
        values = intervals.differences(intervals.NOISE[noise], 3, 24, 2_000)
        assert intervals.coverage(method(values)) < 0.8
    # One t quantile for both parts: right at 95%, and wrong where Holm's correction needs it.
    values = intervals.differences(intervals.NOISE["seeds rule"], 3, 24, 12 * 1_000)
    mean, moments = crossed_moments(values)
    statistic = np.abs(mean) / np.sqrt(moments.variance)
    theirs = 2 * intervals.stats.t.sf(statistic, intervals.satterthwaite_df(moments)).reshape(-1, 12)
    ours = 2 * moments.tail(np.abs(mean)).reshape(-1, 12)
    any_of = [np.mean([min(holm(row)) < 0.05 for row in p.tolist()]) for p in (ours, theirs)]
    assert any_of[0] < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1_000)
    assert any_of[1] > 0.12


def test_simulated_noise_is_what_it_says():
    for shares in intervals.NOISE.values():
        values = intervals.differences(shares, 5, 24, 4_000)
        assert values.mean(axis=(1, 2)).var() == pytest.approx(1.0, abs=0.08)
        assert values.mean() == pytest.approx(0.0, abs=0.06)
        _, moments = crossed_moments(values)
        parts = [moments.of_seeds - moments.of_rest, moments.of_units - moments.of_rest, moments.of_rest]
        assert [part.mean() for part in parts] == pytest.approx(shares, abs=0.04)
    answers = intervals.answers(1.0, 1.0, 3, 40, 200)
    assert set(np.unique(answers)) == {-1.0, 0.0, 1.0}


def test_the_documented_tables_are_those_of_the_kept_result():
    kept = json.loads(RESULT.read_text(encoding="utf-8"))
    documented = intervals.DOCS.read_text(encoding="utf-8").split(intervals.BEGIN)[1].split(intervals.END)[0]
    assert documented.strip() == intervals.tables(kept).strip()
    assert kept["met"] and kept["replicates"] >= STUDIES
