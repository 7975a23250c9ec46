"""The kernels' decay: values by hand, the floor that HoPE keeps."""

import cmath
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hope import config
from hope.analysis.logit_curves import equal_pair
from hope.analysis.theory import (
    BASES,
    decay,
    distances,
    sweep_columns,
    write_kernel,
)
from hope.catalogue import FAMILIES
from hope.catalogue.spectra import far_kernel
from hope.catalogue.spectra import mean_kernel as mean_over_distances
from hope.encodings.base import EncodingShape
from hope.encodings.registry import build_encoding

LENGTH, DIM = 128, 32


def encoding(name, family=None, **settings):
    definitions = {name: config.EncodingDefinition(family=family or name, settings=settings)}
    return config.Arm(encodings=[name], definitions=definitions).encoding(name)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """The tables of three encodings."""
    folder = tmp_path_factory.mktemp("theory")
    write_kernel([encoding("rope"), encoding("hope"), encoding("slow", "hope", cutoff=0.0)], DIM, LENGTH, folder)
    return {path.stem: pd.read_parquet(path) for path in folder.iterdir()}


def encoding_frequencies(spec, dim, length):
    shape = EncodingShape(layers=1, width=dim, heads=1, kv_heads=1, head_dim=dim, length=length)
    return build_encoding(spec, shape).frequencies.numpy()


def mean_kernel(frequencies, distance):
    return decay(np.exp(1j * distance[:, None] * frequencies))["value"]


def summation_bound(frequencies, distance):
    return decay(np.exp(1j * distance[:, None] * frequencies))["bound"]


def mean_past(frequencies, start, stop):
    return mean_kernel(frequencies, np.arange(start, stop)).mean()


def test_at_distance_0_the_kernel_is_1():
    for name in ("rope", "hope"):
        frequencies = encoding_frequencies(encoding(name), DIM, LENGTH)
        assert mean_kernel(frequencies, np.array([0])) == pytest.approx(1.0, abs=1e-15)
        assert summation_bound(frequencies, np.array([0])) == pytest.approx((DIM / 2 + 1) / 2)


@given(distance=st.integers(0, 100_000), half=st.integers(1, 64), base=st.floats(2.0, 1e6))
def test_values_are_those_of_the_formulas(distance, half, base):
    thetas = [base ** (-j / half) for j in range(half)]
    sums = [sum(cmath.exp(1j * distance * theta) for theta in thetas[: i + 1]) for i in range(half)]
    kernel = sum(math.cos(distance * theta) for theta in thetas) / half
    assert mean_kernel(np.array(thetas), np.array([distance])) == pytest.approx(kernel, abs=1e-12)
    bound = sum(abs(part) for part in sums) / half
    assert summation_bound(np.array(thetas), np.array([distance])) == pytest.approx(bound, rel=1e-9)


@pytest.mark.parametrize(
    ("dim", "length", "base", "kept"), [(32, 128, 1e4, 6), (64, 512, 1e4, 16), (128, 1024, 5e5, 25)]
)
def test_hope_keeps_a_floor_past_the_training_length(dim, length, base, kept):
    hope = encoding_frequencies(encoding("hope", base=base), dim, length)
    rope = encoding_frequencies(encoding("rope", base=base), dim, length)
    assert np.count_nonzero(hope) == kept
    floor = 1 - 2 * kept / dim
    assert mean_past(hope, length, 16 * length) == pytest.approx(floor, abs=0.01)
    assert mean_past(rope, 8 * length, 16 * length) < 0.6 * floor
    # RoPE's slowest component turns only after 2 pi * base tokens: over many such turns nothing is left.
    far = np.linspace(0, 2 * math.pi * base * 100, 50_000)
    assert mean_kernel(rope, far.astype(np.int64)).mean() == pytest.approx(0.0, abs=0.02)


@given(
    after=st.integers(0, 100_000),
    count=st.integers(1, 2_000),
    thetas=st.lists(st.floats(0.0, 50.0) | st.sampled_from([math.pi, math.tau, 1e-300, 1e-9]), min_size=1, max_size=4),
)
def test_the_mean_over_distances_leaves_none_out(after, count, thetas):
    distance = np.arange(after + 1, after + count + 1)
    expected = mean_kernel(np.array(thetas), distance).mean()
    assert mean_over_distances(tuple(thetas), after, after + count) == pytest.approx(expected, abs=1e-8)


def test_a_far_mean_of_a_long_model_is_that_of_all_its_distances():
    length = 8192
    frequencies = encoding_frequencies(encoding("rope", base=5e5), 64, length)
    everything = np.mean([np.cos(np.arange(8 * length + 1, 16 * length + 1) * theta).mean() for theta in frequencies])
    assert far_kernel(tuple(frequencies), length) == pytest.approx(everything, abs=1e-12)
    # Distances on a logarithmic scale give another mean.
    listed = distances(length)
    assert abs(mean_kernel(frequencies, listed[listed > 8 * length]).mean() - everything) > 0.01


def test_within_the_training_length_both_bounds_fall():
    for name in ("rope", "hope"):
        bound = summation_bound(encoding_frequencies(encoding(name), DIM, LENGTH), np.arange(1, LENGTH))
        assert bound[-32:].mean() < 0.8 * bound[:4].mean()


def test_distances_are_whole_near_and_sparse_far():
    found = distances(LENGTH)
    assert found[: 2 * LENGTH].tolist() == list(range(1, 2 * LENGTH + 1))
    assert found[-1] == 16 * LENGTH
    assert (np.diff(found) > 0).all()
    assert len(distances(50_000)) < 102_000


def test_the_file_holds_every_encoding_under_its_own_name(tables):
    curves = {name: rows["value"].to_numpy() for name, rows in tables["kernel"].groupby("encoding")}
    assert set(curves) == {"rope", "hope", "slow"}
    np.testing.assert_array_equal(curves["rope"], curves["slow"])
    assert np.abs(curves["rope"] - curves["hope"]).max() > 0.1


def test_without_rotary_encodings_the_file_is_empty(folder, monkeypatch):
    for name in ("sweep_columns", "size_columns"):
        monkeypatch.setattr(f"hope.analysis.theory.{name}", lambda *_: {"value": np.empty(0)})
    write_kernel([], DIM, LENGTH, folder)
    assert len(pd.read_parquet(folder / "kernel.parquet")) == 0


@pytest.mark.parametrize("name", ["rope", "hope", "p_rope", "partial_rope", "clipped_rope", "xpos", "pope"])
def test_the_kernel_is_the_logit_that_the_encoding_gives_to_equal_pairs(name):
    """The logit is that of the hook which a model calls, far enough for xPos to have faded."""
    shape = EncodingShape(layers=1, width=DIM, heads=1, kv_heads=1, head_dim=DIM, length=LENGTH)
    built = build_encoding(encoding(name), shape)
    distance = np.array([1, 2, 3, 10, 100, 1000, 2000])
    found = decay(built.phasors(distance))
    np.testing.assert_allclose(found["value"], equal_pair(built, 2000, distance), atol=2e-5)
    assert (found["bound"] > np.abs(found["value"]) / DIM).all()


def test_the_sweep_names_family_and_base(tables):
    table = tables["kernel_sweep"]
    rows = table.groupby(["encoding", "base"]).size()
    others = {name for name, family in FAMILIES.items() if family.rotary and not family.given} | {"xpos", "pope"}
    assert others >= {"p_rope", "partial_rope", "clipped_rope"}
    assert set(rows.index) == {(name, base) for name in ("rope", "hope") for base in BASES} | {
        (name, 1e4) for name in others - {"rope", "hope"}
    }
    assert set(rows) == {len(distances(LENGTH))}
    own = table[(table["encoding"] == "hope") & (table["base"] == 1e5)]
    frequencies = encoding_frequencies(encoding("hope", base=1e5), DIM, LENGTH)
    distance = own["distance"].to_numpy()
    np.testing.assert_allclose(own["value"], mean_kernel(frequencies, distance), atol=1e-12)
    np.testing.assert_allclose(own["bound"], summation_bound(frequencies, distance), rtol=1e-12)


def test_the_sizes_in_use_hold_what_the_formulas_give(tables):
    sizes = tables["kernel_sizes"].set_index(["head_dim", "length", "base"])
    assert len(sizes) == 2 * 5 * 2
    row, within, far = sizes.loc[(64, 512, 1e4)], np.arange(1, 513), np.arange(8 * 512 + 1, 16 * 512 + 1)
    hope, rope = (encoding_frequencies(encoding(name), 64, 512) for name in ("hope", "rope"))
    assert row["hope_floor"] == 1 - 16 / 32
    assert [row["hope_far"], row["rope_far"]] == pytest.approx(
        [mean_kernel(each, far).mean() for each in (hope, rope)], abs=1e-12
    )
    gap = np.abs(summation_bound(hope, within) - summation_bound(rope, within)).mean()
    assert row["bound_gap"] == pytest.approx(gap / 16.5)  # at distance 0 the bound is the mean of 1 to 32


def test_the_tables_are_documented(tables):
    text = (Path(__file__).parents[2] / "docs" / "results-format.md").read_text(encoding="utf-8")
    for name in ("kernel", "kernel_sweep"):
        section = text.split(f"\n### `{name}.parquet`\n")[1].split("\n##")[0]
        cells = re.findall(r"^\| (`[^|]*) \|", section, flags=re.MULTILINE)
        listed = [column for cell in cells for column in re.findall(r"`(\w+)`", cell)]
        assert listed == list(tables[name])


def test_heads_of_few_dimensions_have_the_rows_that_fit():
    for dim in (2, 4, 6):
        columns = sweep_columns(dim, 8)
        assert {"rope", "hope"} <= set(columns["encoding"])
        assert not any(np.isnan(columns[name]).any() for name in ("base", "value", "bound"))
