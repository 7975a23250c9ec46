"""Length extensions against transformers, formulas worked by hand, and plain loops."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from hope import config
from hope.catalogue import FAMILIES
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.extensions import Extended, ReRotary, Resized, extend, extended, refusal, yarn_frequencies
from hope.encodings.rotary import Rotary, rope_frequencies
from hope.errors import UserError
from tests.encodings.logits_of import built


def extension(**content: Any) -> config.Extension:
    return TypeAdapter(config.Extension).validate_python(content)


def shape(head_dim: int = 64, length: int = 512) -> EncodingShape:
    return EncodingShape(layers=1, width=2 * head_dim, heads=2, kv_heads=2, head_dim=head_dim, length=length)


def made(family: str, head_dim: int = 64, length: int = 512, **settings: object) -> Encoding:
    return built(family, shape(head_dim, length), **settings)


def stock(kind: str, base: float, head_dim: int, length: int, **parameters: Any) -> tuple[Any, Any]:
    """Return transformers' config and function of a kind of extension."""
    made = LlamaConfig(
        hidden_size=2 * head_dim,
        num_attention_heads=2,
        head_dim=head_dim,
        max_position_embeddings=length,
        rope_parameters={"rope_type": kind, "rope_theta": base, "original_max_position_embeddings": length}
        | parameters,
    )
    return made, ROPE_INIT_FUNCTIONS[kind]


SIZES = pytest.mark.parametrize(
    ("head_dim", "length", "base"),
    [(64, 512, 1e4), (64, 4096, 5e5), (32, 128, 1e4), (128, 4096, 1e4), (88, 100, 100.0)],
)


@SIZES
@pytest.mark.parametrize("factor", [1.0, 2.0, 4.0, 8.5])
def test_linear_equals_transformers(head_dim, length, base, factor):
    expected, sharpness = (lambda theirs, function: function(theirs))(
        *stock("linear", base, head_dim, length, factor=factor)
    )
    found = extend(made("rope", head_dim, length, base=base), extension(kind="linear", factor=factor))
    torch.testing.assert_close(found.frequencies, expected.double(), rtol=1e-5, atol=0)
    assert found.sharpness == sharpness == 1.0


@SIZES
@pytest.mark.parametrize("factor", [1.0, 2.0, 16.0])
def test_yarn_equals_transformers(head_dim, length, base, factor):
    theirs, function = stock("yarn", base, head_dim, length, factor=factor)
    expected, sharpness = function(theirs)
    found = extend(made("rope", head_dim, length, base=base), extension(kind="yarn", factor=factor))
    torch.testing.assert_close(found.frequencies, expected.double(), rtol=1e-5, atol=0)
    assert found.sharpness == pytest.approx(sharpness, abs=1e-12)
    assert sharpness == pytest.approx(0.1 * math.log(factor) + 1)


@pytest.mark.parametrize(("fast", "slow"), [(16.0, 2.0), (4.0, 0.5), (3.1, 3.0)])
def test_yarn_with_another_ramp_equals_transformers(fast, slow):
    theirs, function = stock("yarn", 1e4, 64, 512, factor=4.0, beta_fast=fast, beta_slow=slow)
    found = extend(made("rope"), extension(kind="yarn", factor=4.0, fast=fast, slow=slow))
    torch.testing.assert_close(found.frequencies, function(theirs)[0].double(), rtol=1e-5, atol=0)


@SIZES
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_dynamic_ntk_equals_transformers(head_dim, length, base, factor):
    theirs, function = stock("dynamic", base, head_dim, length, factor=factor)
    found = extend(made("rope", head_dim, length, base=base), extension(kind="dynamic-ntk", factor=factor))
    assert isinstance(found, Resized) and found.recodes
    for tokens in (1, length // 2, length, length + 1, 2 * length, 16 * length):
        expected, _ = function(theirs, seq_len=tokens)
        torch.testing.assert_close(found.frequencies(tokens), expected.double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("head_dim", [32, 64])
def test_longrope_equals_transformers(head_dim):
    half, length = head_dim // 2, 512
    short, long = [1 + 0.01 * j for j in range(half)], [1 + 0.5 * j for j in range(half)]
    theirs, function = stock("longrope", 1e4, head_dim, length, factor=8.0, short_factor=short, long_factor=long)
    found = extend(made("rope", head_dim, length), extension(kind="longrope", factor=8.0, short=short, long=long))
    for tokens in (1, length, length + 1, 8 * length):
        expected, sharpness = function(theirs, seq_len=tokens)
        torch.testing.assert_close(found.frequencies(tokens), expected.double(), rtol=1e-5, atol=0)
        assert found.settled(tokens).sharpness == pytest.approx(sharpness)
    given = extend(
        made("rope", head_dim, length),
        extension(kind="longrope", factor=8.0, short=short, long=long, sharpness=1.0),
    )
    assert given.sharpness == 1.0


@pytest.mark.parametrize("factor", [2.0, 4.0, 16.0])
@pytest.mark.parametrize(("head_dim", "base"), [(64, 1e4), (128, 5e5), (16, 100.0)])
def test_ntk_is_rope_with_a_larger_base(factor, head_dim, base):
    found = extend(made("rope", head_dim, base=base), extension(kind="ntk", factor=factor))
    expected = rope_frequencies(head_dim, base * factor ** (head_dim / (head_dim - 2)))
    torch.testing.assert_close(found.frequencies, expected, rtol=1e-12, atol=0)
    assert float(found.frequencies[-1] * factor) == pytest.approx(float(rope_frequencies(head_dim, base)[-1]))


@pytest.mark.parametrize(("head_dim", "length"), [(64, 512), (64, 4096), (32, 128)])
def test_ntk_of_hope_slows_the_slowest_kept_component_wholly_or_less(head_dim, length):
    factor, before = 4.0, made("hope", head_dim, length).frequencies
    kept = int((before > 0).sum())
    assert 1 < kept < head_dim // 2

    whole = extend(made("hope", head_dim, length), extension(kind="ntk", factor=factor, slowest="kept")).frequencies
    base = 1e4 * factor ** (head_dim / (2 * (kept - 1)))
    torch.testing.assert_close(whole[:kept], rope_frequencies(head_dim, base)[:kept], rtol=1e-12, atol=0)
    assert float(whole[kept - 1] * factor) == pytest.approx(float(before[kept - 1]))

    usual = extend(made("hope", head_dim, length), extension(kind="ntk", factor=factor)).frequencies
    base = 1e4 * factor ** (head_dim / (head_dim - 2))
    torch.testing.assert_close(usual[:kept], rope_frequencies(head_dim, base)[:kept], rtol=1e-12, atol=0)
    assert float(usual[kept - 1] * factor) > 1.1 * float(before[kept - 1])  # slowed by less than the factor


ALL = [
    dict(kind="linear", factor=4.0),
    dict(kind="ntk", factor=4.0),
    dict(kind="ntk", factor=4.0, slowest="kept"),
    dict(kind="dynamic-ntk", factor=1.0),
    dict(kind="dynamic-ntk", factor=2.0, slowest="kept"),
    dict(kind="yarn", factor=4.0),
    dict(kind="longrope", factor=4.0, short=[1.0] * 32, long=[1.0 + j for j in range(32)]),
    dict(kind="rerope", window=0.5),
]
STOPPED = [
    made("hope"),
    made("p_rope", p=0.5),
    made("clipped_rope", kind="hard"),
    made("hope", freeze="random", seed=1),
    made("hope", freeze="fast"),
    made("hope", freeze="band", band=[0.25, 4.0]),
]


@pytest.mark.parametrize("content", ALL, ids=lambda content: extension(**content).label)
@pytest.mark.parametrize("encoding", STOPPED, ids=lambda encoding: encoding.name)
def test_what_stands_still_stays_so_and_what_turns_turns(encoding, content):
    wanted = extension(**content)
    if refusal(encoding, wanted):
        assert encoding.name == "hope" and content.get("slowest") == "kept"  # where the slowest was kept
        return
    found = extend(encoding, wanted)
    for tokens in (100, 512, 8192):
        after = found.frequencies(tokens) if isinstance(found, Resized) else found.frequencies
        assert torch.equal(after == 0, encoding.frequencies == 0)
        assert (after <= encoding.frequencies).all()


def test_hope_p_rope_and_hard_clip_of_one_kept_set_are_extended_alike():
    hope = made("hope")
    kept = int((hope.frequencies > 0).sum())
    same = [made("p_rope", p=kept / 32), made("clipped_rope", kind="hard")]
    for content in ALL:
        expected = extend(hope, extension(**content))
        for encoding in same:
            found = extend(encoding, extension(**content))
            if isinstance(found, Resized):
                assert torch.equal(found.frequencies(4096), expected.frequencies(4096))
            else:
                assert torch.equal(found.frequencies, expected.frequencies)


@pytest.mark.parametrize(
    "content", [each for each in ALL if "slowest" not in each], ids=lambda content: extension(**content).label
)
def test_hope_equals_rope_where_it_turns(content):
    hope, rope = (extend(encoding, extension(**content)) for encoding in (made("hope"), made("rope")))
    if isinstance(hope, Resized):
        ours, theirs = hope.frequencies(4096), rope.frequencies(4096)
    else:
        ours, theirs = hope.frequencies, rope.frequencies
    turns = made("hope").frequencies > 0
    torch.testing.assert_close(ours[turns], theirs[turns], rtol=1e-12, atol=0)


def test_partial_rope_scales_its_own_spectrum():
    # Half of the dimensions turn: what transformers computes for a rotary size of 32.
    theirs, function = stock("yarn", 1e4, 64, 512, factor=4.0, partial_rotary_factor=0.5)
    found = extend(made("partial_rope", share=0.5), extension(kind="yarn", factor=4.0)).frequencies
    torch.testing.assert_close(found[:16], function(theirs)[0].double(), rtol=1e-5, atol=0)
    ntk = extend(made("partial_rope", share=0.5), extension(kind="ntk", factor=4.0)).frequencies
    torch.testing.assert_close(ntk[:16], rope_frequencies(32, 1e4 * 4 ** (32 / 30)), rtol=1e-12, atol=0)


def test_components_slowed_in_training_keep_their_place_in_the_ramp():
    soft, rope = made("clipped_rope"), made("rope")
    slowed = soft.frequencies / rope.frequencies
    assert 0 < float(slowed[20]) < 1
    ours, theirs = (extend(each, extension(kind="yarn", factor=4.0)).frequencies for each in (soft, rope))
    torch.testing.assert_close(ours, theirs * slowed, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("content", ALL, ids=lambda content: extension(**content).label)
@pytest.mark.parametrize("kind", ["rope", "hope"])
def test_a_factor_of_one_changes_nothing_within_the_training_length(kind, content):
    content = content | ({"factor": 1.0} if "factor" in content else {"window": 1.0})
    encoding, positions = made(kind, 16, 64), torch.arange(64)
    if content["kind"] == "longrope":
        content |= {"short": [1.0] * 8, "long": [2.0] * 8}
    if refusal(encoding, extension(**content)):
        assert kind == "rope"
        return
    found = extend(encoding, extension(**content))
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 1, 2, 64, 16)
    before = encoding.rotate(queries, keys, encoding.prepare(positions), queries, 0)
    after = found.rotate(queries, keys, found.prepare(positions), queries, 0)
    expected = before[0] @ before[1].transpose(2, 3)
    logits = found.logits(*after, positions, 0) if found.has_logits else after[0] @ after[1].transpose(2, 3)
    causal = torch.ones(64, 64, dtype=torch.bool).tril()
    torch.testing.assert_close(logits[..., causal], expected[..., causal], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kind", "window"), [("rope", 0.25), ("hope", 0.25), ("rope", 1.0), ("hope", 1.0)])
def test_rerope_is_a_loop_over_pairs_with_clipped_distances(kind, window):
    encoding, count = made(kind, 8, 16), 40
    found = extend(encoding, extension(kind="rerope", window=window))
    torch.manual_seed(1)
    queries, keys = torch.randn(2, 1, 2, count, 8)
    positions = torch.arange(5, 5 + count)
    turned = found.rotate(queries, keys, found.prepare(positions), queries, 0)
    logits = found.logits(*turned, positions, 0)
    for head in range(2):
        for i in range(count):
            for j in range(i + 1):
                distance, expected = min(i - j, round(window * 16)), 0.0
                for c, theta in enumerate(encoding.frequencies.tolist()):
                    a, b = (
                        complex(float(x[0, head, p, c]), float(x[0, head, p, c + 4]))
                        for x, p in ((queries, i), (keys, j))
                    )
                    expected += (
                        a * b.conjugate() * complex(math.cos(distance * theta), math.sin(distance * theta))
                    ).real
                assert float(logits[0, head, i, j]) == pytest.approx(expected, abs=1e-4)


def test_rerope_of_a_block_of_queries_is_a_block_of_all():
    found = extend(made("rope", 8, 16), extension(kind="rerope", window=0.5))
    queries, keys = torch.randn(2, 1, 2, 40, 8, generator=torch.Generator().manual_seed(1))
    positions = torch.arange(40)
    whole = found.rotate(queries, keys, found.prepare(positions), queries, 0)
    logits = found.logits(*whole, positions, 0)
    part = found.logits(whole[0][:, :, 10:30], whole[1][:, :, :30], positions[:30], 0)
    torch.testing.assert_close(part, logits[:, :, 10:30, :30])


STATIC = [content for content in ALL if content["kind"] not in ("dynamic-ntk", "longrope")]


@settings(deadline=None, max_examples=60)
@given(
    distance=st.integers(0, 600),
    start=st.integers(0, 1_048_576 - 600),
    kind=st.sampled_from(["rope", "hope", "p_rope", "clipped_rope"]),
    content=st.sampled_from(STATIC),
    seed=st.integers(0, 100),
)
def test_static_extensions_depend_on_the_distance_alone(distance, start, kind, content, seed):
    encoding = made(kind, 16, 64)
    if refusal(encoding, extension(**content)):
        return
    found = extend(encoding, extension(**content))
    queries, keys = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(seed))

    def logit(position: int) -> float:
        places = torch.tensor([position, position + distance])
        both = queries.expand(1, 1, 2, 16), keys.expand(1, 1, 2, 16)
        turned = found.rotate(*both, found.prepare(places), queries, 0)
        if found.has_logits:
            return float(found.logits(turned[0][:, :, 1:], turned[1], places, 0)[0, 0, 0, 0])
        return float(turned[0][0, 0, 1] @ turned[1][0, 0, 0])

    assert logit(start) == pytest.approx(logit(0), abs=5e-4)


def test_yarn_sharpens_all_components_alike():
    hope = made("hope", 16, 64)
    found = extend(hope, extension(kind="yarn", factor=8.0))
    heads = torch.randn(1, 2, 1, 16, generator=torch.Generator().manual_seed(0))
    _, keys = found.rotate(heads, heads, found.prepare(torch.tensor([777])), heads, 0)
    still = (hope.frequencies == 0).nonzero()[:, 0]
    for dimensions in (still, still + 8):
        torch.testing.assert_close(keys[..., dimensions], heads[..., dimensions] * (0.1 * math.log(8) + 1))
    torch.testing.assert_close(keys.norm(), heads.norm() * (0.1 * math.log(8) + 1))


class Half(Rotary):
    """A user's rotary encoding that decays too."""

    def rotate(self, *arguments: Any) -> Any:
        queries, keys = super().rotate(*arguments)
        return queries / 2, keys


YARN = dict(kind="yarn", factor=4.0)
KEPT = dict(kind="ntk", factor=4.0, slowest="kept")


@pytest.mark.parametrize(
    ("encoding", "content", "reason"),
    [
        (made("alibi"), YARN, "yarn-4: alibi does not place tokens by angles that are linear in position"),
        (Encoding(shape()), dict(kind="linear", factor=2.0), "linear-2: Encoding does not place tokens by angles"),
        (Half(shape(), rope_frequencies(64, 1e4)), YARN, "yarn-4: Half does not place tokens by angles"),
        (Extended(shape(), rope_frequencies(64, 1e4)), YARN, "yarn-4: Extended does not place tokens by angles"),
        (ReRotary(shape(), rope_frequencies(64, 1e4), 8), YARN, "yarn-4: ReRotary does not place tokens by angles"),
        (
            made("hope", cutoff=1e9),
            YARN,
            "yarn-4: no component of this hope turns: there is no angle to change",
        ),
        (made("rope"), KEPT, "ntk-kept-4: the slowest component of this rope's spectrum turns"),
        (
            made("partial_rope"),
            KEPT,
            "ntk-kept-4: the slowest component of this partial_rope's spectrum turns",
        ),
        (
            made("p_rope", p=1 / 32),
            dict(kind="ntk", factor=2.0),
            "ntk-2: of this p_rope only the first component turns",
        ),
        (
            made("rotary", 8, frequencies=[1.0, 0.9, 0.1, 0.01]),
            YARN,
            "yarn-4: the fastest components of this rotary are no geometric series",
        ),
        (
            made("hope", 16),
            dict(kind="longrope", factor=2.0, short=[1.0] * 8, long=[2.0] * 4),
            "longrope-2: long has 4 factors, but a head of 16 dimensions has 8 components; give one for each",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_in_one_line(encoding, content, reason):
    with pytest.raises(UserError) as caught:
        extend(encoding, extension(**content))
    assert str(caught.value).startswith(f"extension {reason}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_documented_combinations_are_those_that_apply(family):
    encoding = made(family)
    refused = {extension(**content).label for content in ALL if refusal(encoding, extension(**content))}
    kept = {"ntk-kept-4", "dynamic-ntk-kept-2"}
    expected = {
        "rope": kept,
        "partial_rope": kept,
        "rotary": kept,
        "hope": set(),
        "p_rope": set(),
        "clipped_rope": set(),
    }
    if FAMILIES[family].rotary:
        by_rule = kept if encoding.frequencies[encoding.slowest] else set()  # 'kept' would repeat 'spectrum'
        assert refused == expected.get(family, by_rule) == by_rule
    else:
        assert refused == {extension(**content).label for content in ALL}


def test_the_first_component_alone_is_before_yarns_ramp():
    only = made("p_rope", p=1 / 32)
    assert torch.equal(extend(only, extension(**YARN)).frequencies, only.frequencies)
    assert torch.equal(yarn_frequencies(only.frequencies, 4.0, 64, 32.0, 1.0), only.frequencies)


def test_a_model_is_extended_for_the_block():
    class Holder:
        encoding: Encoding = made("rope")

    holder = Holder()
    before = holder.encoding
    with extended(holder, extension(**YARN)):
        assert isinstance(holder.encoding, Extended)
    assert holder.encoding is before
    with extended(holder, None):
        assert holder.encoding is before
    with pytest.raises(RuntimeError), extended(holder, extension(**YARN)):
        raise RuntimeError
    assert holder.encoding is before


def test_labels_tell_kind_and_settings():
    labels = [extension(**content).label for content in ALL]
    assert labels == [
        "linear-4",
        "ntk-4",
        "ntk-kept-4",
        "dynamic-ntk-1",
        "dynamic-ntk-kept-2",
        "yarn-4",
        "longrope-4",
        "rerope-0.5L",
    ]
    assert extension(kind="yarn", factor=2.5, name="mine").label == "mine"
