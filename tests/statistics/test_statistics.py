import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from hope.statistics import (
    SMALLEST_TAIL,
    Estimate,
    Noise,
    crossed_difference,
    crossed_mean,
    crossed_moments,
    equivalence,
    holm,
)

steady = settings(deadline=None, derandomize=True)
matrices = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=st.floats(-100, 100, width=32))


def test_batches_of_matrices_give_what_single_ones_give():
    values = np.random.default_rng(3).normal(size=(3, 5, 24)) + np.linspace(0, 2, 5)[:, None]
    mean, noise = crossed_moments(values)
    batch = [mean, noise.variance, noise.half_width(0.01), 2 * noise.tail(np.abs(mean))]
    single = [crossed_mean(matrix) for matrix in values]
    alone = [[found.mean, found.variance, found.interval(0.98)[1] - found.mean, found.p_value()] for found in single]
    np.testing.assert_allclose(np.stack(batch, axis=1), alone)


def test_two_way_table_worked_by_hand():
    # Row means 2 and 4, column means 1.5, 3, 4.5: MS_seed = 6/1, MS_unit = 9/2, MS_residual = 1/2.
    found = crossed_mean([[1, 2, 3], [2, 4, 6]])
    assert (found.mean, found.seeds, found.units) == (3.0, 2, 3)
    assert found.variance == pytest.approx((6 + 4.5 - 0.5) / 6)
    # The 95% quantiles of t at 1, 2 and 2 degrees of freedom, as tables have them: 12.706, 4.303 and 4.303.
    half = math.sqrt((12.7062**2 * 6 + 4.30265**2 * 4.5 - 4.30265**2 * 0.5) / 6)
    assert found.interval() == pytest.approx((3 - half, 3 + half), rel=1e-5)
    assert stats.t.ppf(0.975, found.df()) * found.error == pytest.approx(half, rel=1e-5)
    assert 1 < found.df() < 2


def test_variance_is_floored_by_the_larger_mean_square():
    # Row means 1 and 1.5, column means 2 and 0.5: MS_seed = 0.25, MS_unit = 2.25, MS_residual = 20.25.
    found = crossed_mean([[4, -2], [0, 3]])
    assert found.variance == pytest.approx(2.25 / 4)
    assert found.df() == pytest.approx(1.0)
    assert found.interval()[1] - found.mean == pytest.approx(stats.t.ppf(0.975, 1) * math.sqrt(2.25 / 4))


def test_seeds_alone_reduce_to_a_t_test_over_seeds():
    of_seed = np.array([0.3, -0.1, 0.4, 0.9])
    oracle = stats.ttest_1samp(of_seed, 0.1)
    for values in (of_seed[:, None], np.tile(of_seed[:, None], (1, 7))):
        found = crossed_mean(values)
        low, high = oracle.confidence_interval(0.9)
        assert found.interval(0.9) == pytest.approx((low, high))
        assert found.df() == pytest.approx(3)
        assert found.p_value(0.1) == pytest.approx(oracle.pvalue)
        assert found.p_value(0.1, "greater") == pytest.approx(stats.ttest_1samp(of_seed, 0.1, alternative="greater")[1])
        assert found.p_value(0.1, "less") == pytest.approx(stats.ttest_1samp(of_seed, 0.1, alternative="less")[1])


def test_units_alone_reduce_to_a_t_test_over_units():
    of_unit = np.array([0.3, -0.1, 0.4, 0.9, 0.2])
    oracle = stats.ttest_1samp(of_unit, 0.0)
    many, single = crossed_mean(np.tile(of_unit, (3, 1))), crossed_mean(of_unit[None])
    assert many.p_value() == pytest.approx(oracle.pvalue)
    # A single seed is described, and decides nothing.
    assert single.interval(0.95) == pytest.approx(tuple(oracle.confidence_interval(0.95)))
    assert many.decides and not single.decides
    cell = crossed_mean([[0.3]])
    assert cell.mean == 0.3 and all(math.isnan(limit) for limit in cell.interval())


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
        half = stats.t.ppf(0.975, len(means) - 1) * math.sqrt(means.var(ddof=1) / len(means))
        assert found.interval()[1] - found.mean >= half * (1 - 1e-9)
    assert found.df() <= (values.shape[0] - 1) * (values.shape[1] - 1) * (1 + 1e-6)


@steady
@given(matrices, st.floats(0.1, 10), st.floats(-10, 10), st.randoms(use_true_random=False))
def test_scale_and_shift_carry_over_and_the_order_does_not_matter(values, scale, shift, random):
    estimate, moved = crossed_mean(values), crossed_mean(scale * values + shift)
    assert moved.mean == pytest.approx(scale * estimate.mean + shift, abs=1e-6)
    assert moved.error == pytest.approx(scale * estimate.error, abs=1e-6)
    rows, columns = (random.sample(range(size), size) for size in values.shape)
    assert crossed_mean(values[rows][:, columns]).variance == pytest.approx(estimate.variance, rel=1e-6, abs=1e-9)


variances = st.floats(1e-4, 4)
noises = st.builds(
    lambda seeds, units, rest, s, d: Noise(*map(np.asarray, (seeds, units, rest)), s, d),
    variances, variances, st.floats(0, 2), st.integers(2, 8), st.integers(2, 50),
)  # fmt: skip
estimates = st.builds(Estimate, st.floats(-2, 2), noises)


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
        assert (estimate.p_value(-margin, "greater") < 0.05) == (low > -margin)


def test_equal_cells_leave_no_doubt():
    same = crossed_mean(np.full((3, 4), 0.25))
    assert same.interval() == (0.25, 0.25)
    assert same.p_value(0.25) == 1.0
    assert same.p_value(0.0) == 0.0
    assert same.p_value(0.0, "less") == 1.0


@pytest.mark.parametrize("shape", [(5, 24), (5, 8), (3, 1), (1, 7), (3, 200), (5, 100), (2, 5000), (20, 3)])
def test_equal_cells_have_no_variance_at_any_shape(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(shape)
    for value in (2 / 3, 1 - 1 / 3, 1 / 5, -0.1, 1e-9, 1e9, *random.normal(size=50)):
        for order in ("C", "F"):
            same = crossed_mean(np.full(shape, value, order=order))
            assert same.variance == 0 and not same.noise_known
            # The same difference everywhere, of sides that round differently.
            sides = np.asarray(random.uniform(1, 9, shape), order=order)
            assert crossed_difference(sides + value, sides).variance == 0


def test_a_real_spread_counts_however_small() -> None:
    for scale in (1.0, 1e-9, 1e9):
        values = scale * (2 / 3 + 1e-12 * np.random.default_rng(0).normal(size=(5, 24)))
        found = crossed_mean(values)
        assert found.noise_known
        assert found.error == pytest.approx(scale * 1e-12 / math.sqrt(5 * 24), rel=0.5)
    one = np.full((5, 24), 2 / 3)
    one[3, 7] += 1e-12
    assert crossed_mean(one).noise_known


@steady
@given(estimates, st.floats(0.6, 0.9999))
def test_surer_intervals_are_wider(estimate, confidence):
    (low, high), (lower, higher) = estimate.interval(confidence), estimate.interval(confidence + (1 - confidence) / 2)
    assert lower < low < high < higher
    assert estimate.p_value(low - 1e-3) <= estimate.p_value(low)


def test_detectable_effect_is_found_as_often_as_it_says():
    # Seeds make all the noise, so that the test is the t test over them, whose power is known.
    for seeds, power, confidence in ((2, 0.8, 0.95), (8, 0.8, 0.99), (5, 0.5, 0.9)):
        of_seed = np.random.default_rng(seeds).normal(size=(seeds, 1))
        estimate = crossed_mean(np.tile(of_seed, (1, 6)))
        effect = estimate.detectable(confidence, power) / (of_seed.std(ddof=1) / math.sqrt(seeds))
        critical = stats.t.ppf(0.5 + confidence / 2, seeds - 1)
        assert stats.nct.sf(critical, seeds - 1, effect) == pytest.approx(power, abs=1e-5)


def test_p_values_are_exact_far_out_and_end_at_zero():
    found = crossed_mean(np.tile([[1.0], [1.001], [1.002]], (1, 4)))
    assert found.p_value() == pytest.approx(stats.ttest_1samp([1.0, 1.001, 1.002], 0.0).pvalue, rel=1e-6)
    units = 100 + np.arange(400)[None] * np.ones((3, 1)) / 400
    sure = crossed_mean(units)
    assert sure.p_value(0.0, "greater") == 0.0 < SMALLEST_TAIL
    assert sure.p_value(0.0, "less") == 1.0


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


def test_matrices_that_cannot_be_judged_are_refused():
    for values in ([], [[]], [1.0, 2.0], [[1.0, math.nan]], [[math.inf, 1.0]]):
        with pytest.raises(ValueError, match="matrix|finite"):
            crossed_mean(values)
    with pytest.raises(ValueError, match="pair seeds and units"):
        crossed_difference(np.zeros((3, 4)), np.zeros((1, 4)))


def test_noise_of_another_size_keeps_the_variance_of_each_part():
    per_seed, per_unit, rest = 0.5, 0.2, 3.0

    def noise(seeds: int, units: int) -> Noise:
        squares = (rest + units * per_seed, rest + seeds * per_unit, rest)
        return Noise(*(np.asarray(square / (seeds * units)) for square in squares), seeds, units)

    found = noise(4, 30)
    for seeds, units in ((4, 30), (2, 30), (9, 100)):
        other = found.of(seeds, units)
        assert other.variance == pytest.approx(per_seed / seeds + per_unit / units + rest / (seeds * units))
        assert (other.seeds, other.units) == (seeds, units)
        assert other.half_width(0.025) == pytest.approx(noise(seeds, units).half_width(0.025))
    # A factor that adds less than nothing by chance adds nothing elsewhere.
    silent = Noise(np.asarray(0.1), np.asarray(0.4), np.asarray(0.2), 4, 10).of(100, 10)
    assert silent.of_seeds == pytest.approx(silent.of_rest)
