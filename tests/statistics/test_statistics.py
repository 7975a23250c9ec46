import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from hope.statistics import (
    Estimate,
    crossed_difference,
    crossed_mean,
    crossed_moments,
    equivalence,
    holm,
    non_inferiority,
)

# Standard deviations of the effects of seed, of document, and of the rest.
NOISE = {"seeds": (1.0, 0.1, 0.5), "balanced": (0.4, 1.0, 1.0), "documents": (0.05, 1.0, 0.5)}
REPLICATES, DOCUMENTS = 4_000, 24

steady = settings(deadline=None, derandomize=True)
matrices = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=st.floats(-100, 100, width=32))


def simulated(noise: str, seeds: int, replicates: int = REPLICATES, documents: int = DOCUMENTS) -> np.ndarray:
    """Return paired differences whose true mean is 0, ``[replicates, seeds, documents]``."""
    random = np.random.default_rng([11, seeds, *noise.encode()])
    of_seed, of_document, rest = NOISE[noise]
    return (
        of_seed * random.normal(size=(replicates, seeds, 1))
        + of_document * random.normal(size=(replicates, 1, documents))
        + rest * random.normal(size=(replicates, seeds, documents))
    )


@pytest.mark.parametrize("seeds", [3, 5, 8])
@pytest.mark.parametrize("noise", NOISE)
def test_intervals_cover_the_truth_as_often_as_they_say(noise, seeds):
    mean, variance, df = crossed_moments(simulated(noise, seeds))
    covered = np.abs(mean) <= stats.t.ppf(0.975, df) * np.sqrt(variance)
    assert 0.92 <= covered.mean() <= 0.98


def test_the_simulation_tells_a_wrong_interval():
    values = simulated("seeds", 3)
    flat = values.reshape(REPLICATES, -1)
    error = flat.std(axis=1, ddof=1) / math.sqrt(flat.shape[1])
    covered = np.abs(flat.mean(axis=1)) <= stats.t.ppf(0.975, flat.shape[1] - 1) * error
    assert covered.mean() < 0.5  # taking the cells for independent is what the crossed variance is there to prevent


def test_batches_of_matrices_give_what_single_ones_give():
    values = simulated("balanced", 5, replicates=3)
    batch = np.stack(crossed_moments(values), axis=1)
    single = [crossed_mean(matrix) for matrix in values]
    np.testing.assert_allclose(batch, [[found.mean, found.variance, found.df] for found in single])


def test_two_way_table_worked_by_hand():
    # Row means 2 and 4, column means 1.5, 3, 4.5: MS_seed = 6/1, MS_unit = 9/2, MS_residual = 1/2.
    found = crossed_mean([[1, 2, 3], [2, 4, 6]])
    assert (found.mean, found.seeds, found.units) == (3.0, 2, 3)
    assert found.variance == pytest.approx((6 + 4.5 - 0.5) / 6)
    assert found.df == pytest.approx(10**2 / (6**2 / 1 + 4.5**2 / 2 + 0.5**2 / 2))


def test_variance_is_floored_by_the_larger_mean_square():
    # Row means 1 and 1.5, column means 2 and 0.5: MS_seed = 0.25, MS_unit = 2.25, MS_residual = 20.25.
    found = crossed_mean([[4, -2], [0, 3]])
    assert found.variance == pytest.approx(2.25 / 4)
    assert found.df == 1.0


def test_seeds_alone_reduce_to_a_t_test_over_seeds():
    of_seed = np.array([0.3, -0.1, 0.4, 0.9])
    oracle = stats.ttest_1samp(of_seed, 0.1)
    for values in (of_seed[:, None], np.tile(of_seed[:, None], (1, 7))):
        found = crossed_mean(values)
        low, high = oracle.confidence_interval(0.9)
        assert found.interval(0.9) == pytest.approx((low, high))
        assert found.p_value(0.1) == pytest.approx(oracle.pvalue)
        assert found.p_value(0.1, "greater") == pytest.approx(stats.ttest_1samp(of_seed, 0.1, alternative="greater")[1])
        assert found.p_value(0.1, "less") == pytest.approx(stats.ttest_1samp(of_seed, 0.1, alternative="less")[1])


def test_units_alone_reduce_to_a_t_test_over_units():
    of_unit = np.array([0.3, -0.1, 0.4, 0.9, 0.2])
    oracle = stats.ttest_1samp(of_unit, 0.0)
    found = crossed_mean(np.tile(of_unit, (3, 1)))
    assert found.p_value() == pytest.approx(oracle.pvalue)
    assert found.decides


def test_single_seed_is_described_and_decides_nothing():
    found = crossed_mean([[0.3, -0.1, 0.4]])
    oracle = stats.ttest_1samp([0.3, -0.1, 0.4], 0.0).confidence_interval(0.95)
    assert not found.decides
    assert found.interval(0.95) == pytest.approx((oracle.low, oracle.high))


def test_single_cell_has_no_interval():
    found = crossed_mean([[0.3]])
    assert found.mean == 0.3
    assert all(math.isnan(limit) for limit in found.interval())


def test_differences_are_paired():
    documents = np.array([10.0, 200.0, 3000.0])
    found = crossed_difference(documents + [[1.0], [3.0]], np.tile(documents, (2, 1)))
    assert found.mean == pytest.approx(2.0)
    assert found.variance == pytest.approx(1.0)  # the seeds' 1 and 3 alone: the documents cancel


@steady
@given(matrices)
def test_variance_is_never_below_that_of_either_factor(values):
    found = crossed_mean(values)
    for axis in (0, 1):
        means = values.mean(axis=axis)
        assert found.variance >= means.var(ddof=1) / len(means) * (1 - 1e-9)
    assert found.df >= min(values.shape) - 1


@steady
@given(matrices, st.floats(0.1, 10), st.floats(-10, 10))
def test_scale_and_shift_carry_over(values, scale, shift):
    found, moved = crossed_mean(values), crossed_mean(scale * values + shift)
    assert moved.mean == pytest.approx(scale * found.mean + shift, abs=1e-6)
    assert moved.error == pytest.approx(scale * found.error, abs=1e-6)


@steady
@given(matrices, st.randoms(use_true_random=False))
def test_order_of_seeds_and_units_does_not_matter(values, random):
    rows, columns = (random.sample(range(size), size) for size in values.shape)
    found, shuffled = crossed_mean(values), crossed_mean(values[rows][:, columns])
    assert shuffled.variance == pytest.approx(found.variance, rel=1e-6, abs=1e-9)


estimates = st.builds(
    Estimate, st.floats(-2, 2), st.floats(1e-4, 4), st.floats(1, 60), st.integers(2, 8), st.integers(1, 50)
)


@steady
@given(estimates, st.floats(0.6, 0.999))
def test_p_value_at_the_end_of_an_interval_is_what_it_leaves_out(estimate, confidence):
    low, high = estimate.interval(confidence)
    assert estimate.p_value(low) == pytest.approx(1 - confidence, rel=1e-6)
    assert estimate.p_value(high, "less") == pytest.approx((1 - confidence) / 2, rel=1e-6)


@steady
@given(estimates, st.floats(0.01, 3))
def test_equivalence_is_the_interval_at_twice_alpha(estimate, margin):
    low, high = estimate.interval(0.9)
    if min(abs(low + margin), abs(high - margin)) > 1e-9:
        assert (equivalence(estimate, margin) < 0.05) == (-margin < low and high < margin)
    if abs(low + margin) > 1e-9:
        assert (non_inferiority(estimate, margin) < 0.05) == (low > -margin)


def test_equal_cells_leave_no_doubt():
    same = crossed_mean(np.full((3, 4), 0.25))
    assert same.interval() == (0.25, 0.25)
    assert same.p_value(0.25) == 1.0
    assert same.p_value(0.0) == 0.0
    assert same.p_value(0.0, "less") == 1.0


@pytest.mark.parametrize("df", [4, 10, 60])
def test_detectable_effect_is_found_four_times_in_five(df):
    estimate = Estimate(0.0, 0.09, df, 3, 24)
    effect = estimate.detectable(confidence=0.95, power=0.8) / 0.3
    power = stats.nct.sf(stats.t.ppf(0.975, df), df, effect)
    assert power == pytest.approx(0.8, abs=0.05)


def test_holm_as_worked_by_hand():
    # In order 0.005, 0.01, 0.03, 0.04, times 4, 3, 2, 1, no value below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@steady
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p_values):
    corrected = holm(p_values)
    for before, after in zip(p_values, corrected, strict=True):
        assert before <= after <= min(1.0, len(p_values) * before)
    assert sorted(corrected) == [after for _, after in sorted(zip(p_values, corrected, strict=True))]
    assert min(corrected) == pytest.approx(min(1.0, len(p_values) * min(p_values)))


@pytest.mark.parametrize("values", [[], [[]], [1.0, 2.0], [[1.0, math.nan]], [[math.inf, 1.0]]])
def test_matrices_that_cannot_be_judged_are_refused(values):
    with pytest.raises(ValueError, match="matrix|finite"):
        crossed_mean(values)


def test_unpaired_matrices_are_refused():
    with pytest.raises(ValueError, match="pair seeds and units"):
        crossed_difference(np.zeros((3, 4)), np.zeros((1, 4)))
