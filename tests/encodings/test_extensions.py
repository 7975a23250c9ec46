"""Length extensions against transformers, formulas worked by hand, and plain loops."""

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from hope import config
from hope.catalogue import FAMILIES
from hope.encodings.base import Encoding
from hope.encodings.extensions import Extended, ReRotary, Resized, extend, extended, refusal, yarn_frequencies
from hope.encodings.rotary import Rotary, rope_frequencies
from hope.errors import UserError
from tests.encodings.logits_of import assert_pairs, built, logits_of, random, shape_of


def extension(**content: Any) -> config.Extension:
    return TypeAdapter(config.Extension).validate_python(content)


def made(family: str, head_dim: int = 64, length: int = 512, **settings: object) -> Encoding:
    return built(family, shape_of(head_dim, length, heads=2, layers=1), **settings)


def frequencies(encoding: Encoding, tokens: int) -> torch.Tensor:
    """Return the frequencies of an extended encoding when so many tokens were read."""
    return encoding.frequencies(tokens) if isinstance(encoding, Resized) else encoding.frequencies


def sharpness(encoding: Encoding) -> float:
    return getattr(encoding, "sharpness", 1.0)


def stock(kind: str, base: float, head_dim: int, length: int, tokens: int, **settings: Any) -> tuple[Any, float]:
    """Return what transformers computes for a kind of extension: frequencies, float64, and the factor of the heads."""
    parameters = {"rope_type": kind, "rope_theta": base, "original_max_position_embeddings": length}
    theirs = LlamaConfig(
        hidden_size=2 * head_dim,
        num_attention_heads=2,
        head_dim=head_dim,
        max_position_embeddings=length,
        rope_parameters=parameters | settings,
    )
    found, factor = ROPE_INIT_FUNCTIONS[kind](theirs, seq_len=tokens)
    return found.double(), factor


@pytest.mark.parametrize(
    ("head_dim", "length", "base"),
    [(64, 512, 1e4), (64, 4096, 5e5), (32, 128, 1e4), (128, 4096, 1e4), (88, 100, 100.0)],
)
@pytest.mark.parametrize(
    ("kind", "factor", "settings"),
    [
        *(("linear", factor, {}) for factor in (1.0, 4.0, 8.5)),
        *(("yarn", factor, {}) for factor in (1.0, 2.0, 16.0)),
        *(("yarn", 4.0, {"fast": fast, "slow": slow}) for fast, slow in ((16.0, 2.0), (4.0, 0.5), (3.1, 3.0))),
        *(("dynamic-ntk", factor, {}) for factor in (1.0, 2.0)),
        ("longrope", 8.0, {}),
    ],
)
def test_extensions_of_rope_equal_transformers(head_dim, length, base, kind, factor, settings):
    theirs = {f"beta_{key}": value for key, value in settings.items()}
    if kind == "longrope":
        half = head_dim // 2
        settings = {"short": [1 + 0.01 * j for j in range(half)], "long": [1 + 0.5 * j for j in range(half)]}
        theirs = {f"{key}_factor": value for key, value in settings.items()}
    found = extend(made("rope", head_dim, length, base=base), extension(kind=kind, factor=factor, **settings))
    for tokens in (1, length // 2, length, length + 1, 2 * length, 16 * length):
        name = kind.removesuffix("-ntk")
        expected, by = stock(name, base, head_dim, length, tokens, factor=factor, **theirs)
        torch.testing.assert_close(frequencies(found, tokens), expected, rtol=1e-5, atol=0)
        assert sharpness(found) == pytest.approx(by, abs=1e-12 if kind == "yarn" else None)


def test_longrope_may_be_given_its_sharpness():
    content = dict(kind="longrope", factor=8.0, short=[1.0] * 32, long=[2.0] * 32)
    found = extend(made("rope"), extension(**content, sharpness=1.5))
    assert (found.sharpness, found.settled(1).sharpness) == (1.5, 1.5)


@pytest.mark.parametrize("factor", [2.0, 16.0])
@pytest.mark.parametrize(("head_dim", "base"), [(64, 1e4), (128, 5e5), (16, 100.0)])
def test_ntk_is_rope_with_a_larger_base(factor, head_dim, base):
    found = extend(made("rope", head_dim, base=base), extension(kind="ntk", factor=factor))
    expected = rope_frequencies(head_dim, base * factor ** (head_dim / (head_dim - 2)))
    torch.testing.assert_close(found.frequencies, expected, rtol=1e-12, atol=0)
    assert float(found.frequencies[-1] * factor) == pytest.approx(float(rope_frequencies(head_dim, base)[-1]))


@pytest.mark.parametrize(("head_dim", "length"), [(64, 512), (64, 4096), (32, 128)])
def test_ntk_of_hope_slows_the_slowest_kept_component_wholly_or_less(head_dim, length):
    factor, hope = 4.0, made("hope", head_dim, length)
    before = hope.frequencies
    kept = int((before > 0).sum())
    assert 1 < kept < head_dim // 2

    whole = extend(hope, extension(kind="ntk", factor=factor, slowest="kept")).frequencies
    base = 1e4 * factor ** (head_dim / (2 * (kept - 1)))
    torch.testing.assert_close(whole[:kept], rope_frequencies(head_dim, base)[:kept], rtol=1e-12, atol=0)
    assert float(whole[kept - 1] * factor) == pytest.approx(float(before[kept - 1]))

    usual = extend(hope, extension(kind="ntk", factor=factor)).frequencies
    assert float(usual[kept - 1] * factor) > 1.1 * float(before[kept - 1])  # slowed by less than the factor


LABELS = {
    "linear-4": dict(kind="linear", factor=4.0),
    "ntk-4": dict(kind="ntk", factor=4.0),
    "ntk-kept-4": dict(kind="ntk", factor=4.0, slowest="kept"),
    "dynamic-ntk-1": dict(kind="dynamic-ntk", factor=1.0),
    "dynamic-ntk-kept-2": dict(kind="dynamic-ntk", factor=2.0, slowest="kept"),
    "yarn-4": dict(kind="yarn", factor=4.0),
    "longrope-4": dict(kind="longrope", factor=4.0, short=[1.0] * 32, long=[1.0 + j for j in range(32)]),
    "rerope-0.5L": dict(kind="rerope", window=0.5),
}
KEPT = {"ntk-kept-4", "dynamic-ntk-kept-2"}
YARN = LABELS["yarn-4"]
EACH = pytest.mark.parametrize("label", LABELS)


def applying(*families: str) -> list[tuple[str, str]]:
    """Return families with the extensions that apply to each: 'kept' has no meaning where every component turns."""
    return [(family, label) for family in families for label in LABELS if family != "rope" or label not in KEPT]


@EACH
def test_what_stands_still_stays_so_and_what_turns_turns_as_in_rope(label):
    wanted = extension(**LABELS[label])
    assert wanted.label == label
    rope = None if label in KEPT else extend(made("rope"), wanted)
    for encoding in (
        made("hope"),
        made("p_rope", p=0.5),
        made("hope", freeze="random", seed=1),
        made("hope", freeze="fast"),
        made("hope", freeze="band", band=[0.25, 4.0]),
    ):
        if refusal(encoding, wanted):
            # The slowest component of all turns: 'kept' would say the same as 'spectrum'.
            assert encoding.frequencies[-1] and label in KEPT
            continue
        found, turns = extend(encoding, wanted), encoding.frequencies > 0
        for tokens in (100, 512, 8192):
            after = frequencies(found, tokens)
            assert torch.equal(after > 0, turns) and (after <= encoding.frequencies).all()
            # YaRN finds the places of its ramp in the first components that turn.
            if rope is not None and (label != "yarn-4" or turns[1:3].all()):
                torch.testing.assert_close(after[turns], frequencies(rope, tokens)[turns], rtol=1e-12, atol=0)


@EACH
def test_hope_p_rope_and_hard_clip_of_one_kept_set_are_extended_alike(label):
    hope = made("hope")
    kept = int((hope.frequencies > 0).sum())
    expected, *others = (
        frequencies(extend(encoding, extension(**LABELS[label])), 4096)
        for encoding in (hope, made("p_rope", p=kept / 32), made("clipped_rope", kind="hard"))
    )
    assert all(torch.equal(other, expected) for other in others)


def test_partial_rope_scales_its_own_spectrum():
    # Half of the dimensions turn: what transformers computes for a rotary size of 32.
    expected, _ = stock("yarn", 1e4, 64, 512, 1, factor=4.0, partial_rotary_factor=0.5)
    partial = made("partial_rope", share=0.5)
    torch.testing.assert_close(extend(partial, extension(**YARN)).frequencies[:16], expected, rtol=1e-5, atol=0)
    ntk = extend(partial, extension(kind="ntk", factor=4.0)).frequencies
    torch.testing.assert_close(ntk[:16], rope_frequencies(32, 1e4 * 4 ** (32 / 30)), rtol=1e-12, atol=0)


def test_components_slowed_in_training_keep_their_place_in_the_ramp():
    soft, rope = made("clipped_rope"), made("rope")
    slowed = soft.frequencies / rope.frequencies
    assert 0 < float(slowed[20]) < 1
    ours, theirs = (extend(each, extension(**YARN)).frequencies for each in (soft, rope))
    torch.testing.assert_close(ours, theirs * slowed, rtol=1e-9, atol=1e-15)


def test_the_first_component_alone_is_before_yarns_ramp():
    only = made("p_rope", p=1 / 32)
    assert torch.equal(extend(only, extension(**YARN)).frequencies, only.frequencies)
    assert torch.equal(yarn_frequencies(only.frequencies, 4.0, 64, 32.0, 1.0), only.frequencies)


@pytest.mark.parametrize(("family", "label"), applying("rope", "hope"))
def test_a_factor_of_one_changes_nothing_within_the_training_length(family, label):
    content = LABELS[label] | ({"factor": 1.0} if "factor" in LABELS[label] else {"window": 1.0})
    if label == "longrope-4":
        content |= {"short": [1.0] * 8, "long": [2.0] * 8}
    encoding, positions = made(family, 16, 64), torch.arange(64)
    queries, keys = random(2, 1, 2, 64, 16)
    expected, found = (
        logits_of(one, queries, keys, positions) for one in (encoding, extend(encoding, extension(**content)))
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("family", "window"), [("rope", 0.25), ("hope", 0.25), ("rope", 1.0)])
def test_rerope_is_a_loop_over_pairs_with_clipped_distances(family, window):
    encoding, count = made(family, 8, 16), 24
    found = extend(encoding, extension(kind="rerope", window=window))
    queries, keys = random(2, 1, 2, count, 8, seed=1)
    q, k = (torch.complex(*heads[0].double().chunk(2, dim=-1)).tolist() for heads in (queries, keys))

    def formula(head: int, i: int, j: int) -> float:
        distance = min(i - j, round(window * 16))
        pairs = zip(q[head][i], k[head][j], encoding.frequencies.tolist(), strict=True)
        return sum(
            (a * b.conjugate() * complex(math.cos(distance * theta), math.sin(distance * theta))).real
            for a, b, theta in pairs
        )

    positions = torch.arange(5, 5 + count)
    assert_pairs(logits_of(found, queries, keys, positions)[0], formula, atol=1e-4)
    # A block of queries is a block of all.
    turned = found.rotate(queries, keys, found.prepare(positions), queries, 0)
    whole = found.logits(*turned, positions, 0)
    part = found.logits(turned[0][:, :, 10:20], turned[1][:, :, :20], positions[:20], 0)
    torch.testing.assert_close(part, whole[:, :, 10:20, :20])


@pytest.mark.parametrize(
    ("family", "label"),
    [case for case in applying("rope", "hope", "clipped_rope") if not case[1].startswith(("dynamic", "longrope"))],
)
def test_static_extensions_depend_on_the_distance_alone(family, label):
    found = extend(made(family, 16, 64), extension(**LABELS[label]))
    queries, keys = random(2, 1, 2, 2, 16)
    for distance in (1, 31, 32, 33, 600):
        near, *others = (
            logits_of(found, queries, keys, torch.tensor([start, start + distance]))
            for start in (0, 77, 1_048_576 - distance)
        )
        for far in others:
            torch.testing.assert_close(far, near, atol=5e-4, rtol=0)


def test_yarn_sharpens_all_components_alike():
    hope, factor = made("hope", 16, 64), 0.1 * math.log(8) + 1
    found, heads = extend(hope, extension(kind="yarn", factor=8.0)), random(1, 2, 1, 16)
    _, keys = found.rotate(heads, heads, found.prepare(torch.tensor([777])), heads, 0)
    still = (hope.frequencies == 0).repeat(2)
    torch.testing.assert_close(keys[..., still], heads[..., still] * factor)
    torch.testing.assert_close(keys.norm(), heads.norm() * factor)


class Half(Rotary):
    """A user's rotary encoding that decays too."""

    def rotate(self, *arguments: Any) -> Any:
        queries, keys = super().rotate(*arguments)
        return queries / 2, keys


SHAPE, ROPE = shape_of(64, 512, heads=2, layers=1), rope_frequencies(64, 1e4)


@pytest.mark.parametrize(
    ("encoding", "content", "reason"),
    [
        (made("alibi"), YARN, "alibi does more than turn components by angles linear in position"),
        (Encoding(SHAPE), YARN, "Encoding does more than turn components by angles"),
        (Half(SHAPE, ROPE), YARN, "Half does more than turn components by angles"),
        (Extended(SHAPE, ROPE), YARN, "Extended does more than turn components by angles"),
        (ReRotary(SHAPE, ROPE, 8), YARN, "ReRotary does more than turn components by angles"),
        (made("hope", cutoff=1e9), YARN, "no component of this hope turns: there is no angle to change"),
        (made("rope"), LABELS["ntk-kept-4"], "the slowest component of this rope's spectrum turns"),
        (made("p_rope", p=1 / 32), LABELS["ntk-4"], "only the first component of this p_rope turns"),
        (
            made("rotary", 8, frequencies=[1.0, 0.9, 0.1, 0.01]),
            YARN,
            "the fastest components of this rotary are no geometric series",
        ),
        (
            made("hope", 16),
            LABELS["longrope-4"] | {"short": [1.0] * 8},
            "long has 32 factors, but a head of 16 dimensions has 8 components; give one for each",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_in_one_line(encoding, content, reason):
    wanted = extension(**content)
    with pytest.raises(UserError) as caught:
        extend(encoding, wanted)
    assert str(caught.value).startswith(f"extension {wanted.label}: {reason}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_documented_combinations_are_those_that_apply(family):
    encoding = made(family)
    refused = {label for label, content in LABELS.items() if refusal(encoding, extension(**content))}
    # 'kept' would repeat 'spectrum' where the slowest component turns.
    frozen = {"hope", "p_rope", "clipped_rope"}
    assert refused == (set(LABELS) if not FAMILIES[family].rotary else set() if family in frozen else KEPT)


def test_a_model_is_extended_for_the_block():
    class Holder:
        encoding: Encoding = made("rope")

    holder = Holder()
    before = holder.encoding
    with extended(holder, extension(**YARN)):
        assert isinstance(holder.encoding, Extended)
    with extended(holder, None):
        assert holder.encoding is before
    with pytest.raises(RuntimeError), extended(holder, extension(**YARN)):
        raise RuntimeError
    assert holder.encoding is before
