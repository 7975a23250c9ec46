"""Frequencies of the rotary families: numbers of components known, identities, and transformers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from hope.catalogue import FAMILIES
from hope.catalogue.families.rope import fast_base
from hope.catalogue.spectra import Spectrum, geometric
from hope.errors import UserError


def spectrum(family: str, head_dim: int, length: int, **settings: object) -> Spectrum:
    return FAMILIES[family].spectrum_at(settings, head_dim, length)


@pytest.mark.parametrize(
    ("head_dim", "length", "base", "kept"),
    [
        (64, 512, 1e4, 16),
        (64, 1024, 1e4, 18),
        (64, 2048, 1e4, 21),
        (64, 4096, 1e4, 23),
        (128, 4096, 1e4, 46),
        (64, 4096, 5e5, 16),
        (128, 4096, 5e5, 32),
    ],
)
def test_hope_keeps_as_many_as_known(head_dim, length, base, kept):
    hope = spectrum("hope", head_dim, length, base=base)
    rope = [base ** (-2 * j / head_dim) for j in range(head_dim // 2)]
    assert hope.frequencies == pytest.approx(rope[:kept] + [0.0] * (head_dim // 2 - kept), rel=1e-12, abs=0)
    assert 2 * math.pi / rope[kept - 1] <= length < 2 * math.pi / rope[kept]


@settings(deadline=None, max_examples=50)
@given(
    head_dim=st.integers(1, 64).map(lambda half: 2 * half),
    length=st.integers(8, 100_000),
    base=st.floats(2.0, 1e6),
    cutoff=st.floats(0.0, 8.0),
)
def test_families_coincide_where_they_must(head_dim, length, base, cutoff):
    def at(family: str, **settings: object) -> Spectrum:
        return spectrum(family, head_dim, length, base=base, **settings)

    hope, rope, half = at("hope"), at("rope").frequencies, head_dim // 2
    kept = hope.kept
    assert at("p_rope", p=2 * kept / head_dim) == hope
    assert at("clipped_rope", kind="hard") == at("clipped_rope", kind="hard", count=half - kept) == hope
    assert at("hope", freeze="listed", components=list(range(kept, half))) == hope
    assert at("rotary", multipliers=[1.0] * kept + [0.0] * (half - kept)).frequencies == hope.frequencies

    all_turn = [
        at("hope", cutoff=0.0),
        at("p_rope", p=1.0),
        at("partial_rope", share=1.0),
        at("clipped_rope", kind="hard", count=0),
        at("clipped_rope", kind="soft", count=0),
        at("clipped_rope", kind="soft", count=1),
        at("rotary"),
        at("hope", freeze="listed", components=[]),
        at("hope", freeze="random", count=0),
    ]
    assert all(one.frequencies == rope for one in all_turn)
    none_turn = [
        at("hope", cutoff=1e12),
        at("p_rope", p=0.0),
        at("clipped_rope", kind="hard", count=half),
        at("hope", freeze="band", band=[0.0, 1e12]),
        at("hope", freeze="random", count=half),
    ]
    assert all(one.frequencies == (0.0,) * half and one.kept == 0 for one in none_turn)

    fast, slow = at("hope", cutoff=cutoff), at("hope", cutoff=cutoff, freeze="fast")
    assert tuple(map(sum, zip(fast.frequencies, slow.frequencies, strict=True))) == fast.whole == rope
    assert fast.kept + slow.kept == half
    assert all(frequency * length >= 2 * math.pi * cutoff for frequency in fast.frequencies[: fast.kept])


def test_a_band_is_given_in_turns_within_the_training_length():
    some = spectrum("hope", 64, 4096, freeze="band", band=[0.5, 2.0])
    turns = [frequency * 4096 / (2 * math.pi) for frequency in some.whole]
    kept = [0.0 if 0.5 <= turn < 2.0 else own for own, turn in zip(some.whole, turns, strict=True)]
    assert list(some.frequencies) == kept
    assert 0 < some.kept < 32


def test_a_random_set_is_as_large_as_hopes_and_set_by_its_seed_alone():
    drawn = [spectrum("hope", 64, 4096, freeze="random", seed=seed) for seed in (0, 1, 2)]
    assert {one.kept for one in drawn} == {23}
    assert len({one.frequencies for one in [*drawn, spectrum("hope", 64, 4096)]}) == 4
    assert spectrum("hope", 64, 4096, freeze="random") == drawn[0]
    assert spectrum("hope", 64, 4096, freeze="random", count=5).kept == 27
    # Written down once: the set is part of what a name means, on every machine.
    frozen = [j for j, frequency in enumerate(drawn[0].frequencies) if frequency == 0]
    assert frozen == [1, 8, 13, 17, 18, 21, 26, 28, 29]


def test_no_share_loses_a_component_to_rounding():
    for half in range(1, 65):
        for kept in range(half + 1):
            assert spectrum("p_rope", 2 * half, 8, p=kept / half).kept == kept
            assert not kept or spectrum("partial_rope", 2 * half, 8, share=kept / half).kept == kept


@pytest.mark.parametrize("p", [0.25, 0.5, 0.75, 1.0])
def test_p_rope_equals_transformers(p):
    stock = LlamaConfig(
        hidden_size=128,
        num_attention_heads=2,
        rope_parameters={"rope_type": "proportional", "rope_theta": 5e5, "partial_rotary_factor": p},
    )
    theirs, scale = ROPE_INIT_FUNCTIONS["proportional"](stock, torch.device("cpu"))
    assert scale == 1.0
    ours = torch.tensor(spectrum("p_rope", 64, 4096, base=5e5, p=p).frequencies)
    torch.testing.assert_close(ours, theirs, atol=0, rtol=1e-6)


def test_partial_rope_has_the_whole_spectrum_over_what_turns():
    quarter, as_hope = spectrum("partial_rope", 64, 4096), spectrum("partial_rope", 64, 4096, share="hope")
    assert quarter.frequencies == spectrum("rope", 16, 4096).frequencies + (0.0,) * 24
    assert as_hope.frequencies == spectrum("rope", 46, 4096).frequencies + (0.0,) * 9


def test_a_soft_clip_falls_by_a_cosine():
    rope = spectrum("rope", 16, 64).frequencies
    clipped = spectrum("clipped_rope", 16, 64, count=5).frequencies
    assert clipped[:4] == rope[:4]
    # t = 0, pi/4, pi/2, 3 pi/4, pi: the first of the five is left as it is, the last stands still.
    falls = [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0.0]
    assert [slowed / own for slowed, own in zip(clipped[3:], rope[3:], strict=True)] == pytest.approx(falls, abs=1e-15)
    assert spectrum("clipped_rope", 64, 4096).frequencies[:23] == spectrum("hope", 64, 4096).frequencies[:23]


def test_with_the_fast_base_all_turn_and_with_a_larger_one_not():
    for head_dim, length in [(64, 512), (64, 4096), (128, 4096), (32, 128), (4, 4096), (2, 64)]:
        base = fast_base(head_dim, length)
        assert spectrum("hope", head_dim, length, base=base).kept == head_dim // 2
        assert spectrum("rope", head_dim, length, base="fast") == spectrum("rope", head_dim, length, base=base)
        if head_dim > 2:
            assert spectrum("hope", head_dim, length, base=base * 1.0001).kept == head_dim // 2 - 1
    assert fast_base(64, 4096) == pytest.approx(803, abs=1)


def test_given_frequencies_are_taken_as_they_are():
    assert spectrum("rotary", 8, 64, frequencies=[1, 0.5, 0, 2]).frequencies == (1.0, 0.5, 0.0, 2.0)
    doubled = spectrum("rotary", 8, 64, base=1e4, multipliers=[2.0, 1.0, 1.0, 0.0]).frequencies
    assert doubled == pytest.approx([2.0, 0.1, 0.01, 0.0])


@pytest.mark.parametrize(
    ("family", "arguments", "line"),
    [
        ("rope", {"head_dim": 7}, "head dimension 7 is odd: rotary components are pairs of dimensions"),
        ("partial_rope", {"head_dim": 7}, "head dimension 7 is odd"),
        ("rotary", {"head_dim": 7}, "head dimension 7 is odd"),
        ("hope", {"freeze": "listed", "components": [3, 4]}, "components: 4 is out of range: .* 0 to 3"),
        ("hope", {"freeze": "random", "count": 5}, "count: 5 is out of range: the head has 4 components"),
        ("clipped_rope", {"count": 5}, "count: 5 is out of range"),
        ("rotary", {"frequencies": [1.0]}, "frequencies: 1 numbers, but head dimension 8 has 4 components"),
        ("rotary", {"multipliers": [1.0] * 5}, "multipliers: 5 numbers, but head dimension 8"),
    ],
)
def test_what_a_head_does_not_have_is_one_clear_line(family, arguments, line):
    with pytest.raises(UserError, match=line) as caught:
        spectrum(family, **{"head_dim": 8, "length": 64, **arguments})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("base", [0.0, -1.0])
def test_a_base_of_nothing_is_one_clear_line(base):
    with pytest.raises(UserError, match=f"base {base} is not above 0"):
        geometric(8, base)
