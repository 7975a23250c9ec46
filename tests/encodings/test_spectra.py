"""Frequencies of the rotary families: the numbers of components known, the identities, and other implementations."""

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

KNOWN = [
    (64, 512, 1e4, 16),
    (64, 1024, 1e4, 18),
    (64, 2048, 1e4, 21),
    (64, 4096, 1e4, 23),
    (128, 4096, 1e4, 46),
    (64, 4096, 5e5, 16),
    (128, 4096, 5e5, 32),
]


def spectrum(family: str, head_dim: int, length: int, **settings: object) -> Spectrum:
    return FAMILIES[family].spectrum_at(settings, head_dim, length)


SIZES = {
    "head_dim": st.integers(1, 64).map(lambda half: 2 * half),
    "length": st.integers(8, 100_000),
    "base": st.floats(2.0, 1e6),
}


@pytest.mark.parametrize(("head_dim", "length", "base", "kept"), KNOWN)
def test_hope_keeps_as_many_as_known(head_dim, length, base, kept):
    hope = spectrum("hope", head_dim, length, base=base)
    assert hope.kept == kept
    assert hope.frequencies[:kept] == spectrum("rope", head_dim, length, base=base).frequencies[:kept]
    wavelengths = [2 * math.pi / frequency for frequency in hope.frequencies[:kept]]
    assert max(wavelengths) <= length < 2 * math.pi / hope.whole[kept]


@settings(deadline=None)
@given(**SIZES)
def test_hope_is_p_rope_and_a_hard_clip_and_a_list(head_dim, length, base):
    hope = spectrum("hope", head_dim, length, base=base)
    half, kept = head_dim // 2, hope.kept
    assert spectrum("p_rope", head_dim, length, base=base, p=2 * kept / head_dim) == hope
    assert spectrum("clipped_rope", head_dim, length, base=base, kind="hard") == hope
    assert spectrum("clipped_rope", head_dim, length, base=base, kind="hard", count=half - kept) == hope
    assert spectrum("hope", head_dim, length, base=base, freeze="listed", components=list(range(kept, half))) == hope
    given = spectrum("rotary", head_dim, length, base=base, multipliers=[1.0] * kept + [0.0] * (half - kept))
    assert given.frequencies == hope.frequencies


@settings(deadline=None)
@given(**SIZES)
def test_ends_of_every_family_are_rope_or_nothing(head_dim, length, base):
    rope = spectrum("rope", head_dim, length, base=base).frequencies
    nothing = (0.0,) * (head_dim // 2)
    sizes = {"head_dim": head_dim, "length": length, "base": base}
    all_turn = [
        spectrum("hope", **sizes, cutoff=0.0),
        spectrum("p_rope", **sizes, p=1.0),
        spectrum("partial_rope", **sizes, share=1.0),
        spectrum("clipped_rope", **sizes, kind="hard", count=0),
        spectrum("clipped_rope", **sizes, kind="soft", count=0),
        spectrum("rotary", **sizes),
        spectrum("hope", **sizes, freeze="listed", components=[]),
        spectrum("hope", **sizes, freeze="random", count=0),
    ]
    assert all(spectrum.frequencies == rope for spectrum in all_turn)
    none_turn = [
        spectrum("hope", **sizes, cutoff=1e12),
        spectrum("p_rope", **sizes, p=0.0),
        spectrum("clipped_rope", **sizes, kind="hard", count=head_dim // 2),
        spectrum("hope", **sizes, freeze="band", band=[0.0, 1e12]),
        spectrum("hope", **sizes, freeze="random", count=head_dim // 2),
    ]
    assert all(spectrum.frequencies == nothing and spectrum.kept == 0 for spectrum in none_turn)


@settings(deadline=None)
@given(**SIZES, cutoff=st.floats(0.0, 8.0))
def test_fast_and_slow_components_make_up_all(head_dim, length, base, cutoff):
    fast = spectrum("hope", head_dim, length, base=base, cutoff=cutoff)
    slow = spectrum("hope", head_dim, length, base=base, cutoff=cutoff, freeze="fast")
    assert tuple(map(sum, zip(fast.frequencies, slow.frequencies, strict=True))) == fast.whole
    assert fast.kept + slow.kept == head_dim // 2
    assert all(frequency * length >= 2 * math.pi * cutoff for frequency in fast.frequencies[: fast.kept])


def test_a_band_is_told_in_turns_within_the_training_length():
    half = spectrum("hope", 64, 4096, freeze="band", band=[0.5, 2.0])
    for frequency, kept in zip(half.whole, half.frequencies, strict=True):
        turns = frequency * 4096 / (2 * math.pi)
        assert kept == (0.0 if 0.5 <= turns < 2.0 else frequency)
    assert 0 < half.kept < 32


def test_a_random_set_is_as_large_as_hopes_and_set_by_its_seed_alone():
    drawn = [spectrum("hope", 64, 4096, freeze="random", seed=seed) for seed in (0, 1, 2)]
    assert {one.kept for one in drawn} == {23}
    assert len({one.frequencies for one in drawn}) == 3
    assert all(one.frequencies != spectrum("hope", 64, 4096).frequencies for one in drawn)
    assert spectrum("hope", 64, 4096, freeze="random") == drawn[0]
    assert spectrum("hope", 64, 4096, freeze="random", count=5).kept == 27
    # Written down once: the set is part of what a name means, on every machine.
    frozen = [j for j, frequency in enumerate(drawn[0].frequencies) if frequency == 0]
    assert frozen == [1, 8, 13, 17, 18, 21, 26, 28, 29]


@pytest.mark.parametrize("half", range(1, 65))
def test_no_share_loses_a_component_to_rounding(half):
    for kept in range(half + 1):
        assert spectrum("p_rope", 2 * half, 8, p=kept / half).kept == kept
        if kept:
            assert spectrum("partial_rope", 2 * half, 8, share=kept / half).kept == kept


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
    quarter = spectrum("partial_rope", 64, 4096)
    assert quarter.frequencies == spectrum("rope", 16, 4096).frequencies + (0.0,) * 24
    as_hope = spectrum("partial_rope", 64, 4096, share="hope")
    assert as_hope.frequencies == spectrum("rope", 46, 4096).frequencies + (0.0,) * 9
    assert as_hope.frequencies[22] < spectrum("hope", 64, 4096).frequencies[22]


def test_a_soft_clip_falls_by_a_cosine():
    rope = spectrum("rope", 16, 64).frequencies
    clipped = spectrum("clipped_rope", 16, 64, count=5).frequencies
    assert clipped[:4] == rope[:4]
    # t = 0, pi/4, pi/2, 3 pi/4, pi
    falls = [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0.0]
    # The first of the five is left as it is, the last stands still.
    assert [slowed / own for slowed, own in zip(clipped[3:], rope[3:], strict=True)] == pytest.approx(falls, abs=1e-15)
    assert spectrum("clipped_rope", 64, 4096).frequencies[:23] == spectrum("hope", 64, 4096).frequencies[:23]


def test_clipping_one_component_softly_leaves_it():
    assert spectrum("clipped_rope", 16, 64, count=1).frequencies == spectrum("rope", 16, 64).frequencies


@pytest.mark.parametrize(("head_dim", "length"), [(64, 512), (64, 4096), (128, 4096), (32, 128), (4, 4096), (2, 64)])
def test_with_the_fast_base_all_turn_and_with_a_larger_one_not(head_dim, length):
    base = fast_base(head_dim, length)
    assert spectrum("hope", head_dim, length, base=base).kept == head_dim // 2
    assert spectrum("rope", head_dim, length, base="fast") == spectrum("rope", head_dim, length, base=base)
    if head_dim > 2:
        assert spectrum("hope", head_dim, length, base=base * 1.0001).kept == head_dim // 2 - 1
    if (head_dim, length) == (64, 4096):
        assert base == pytest.approx(803, abs=1)


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
