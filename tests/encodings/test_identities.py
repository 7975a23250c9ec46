"""Settings that coincide are found, and those that do not are not."""

from hope import config
from hope.catalogue import NAMES, family_settings
from hope.encodings.identities import coinciding
from hope.encodings.shape import EncodingShape
from tests.encodings.logits_of import named, shape_of

SHAPE = shape_of(head_dim=64, length=4096)


def setting(name: str, family: str, text_only: bool = False, **settings: object) -> config.EncodingSpec:
    filled = family_settings(family, settings)
    return config.EncodingSpec(name=name, family=family, settings=filled, text_only=text_only)


def own(name: str, a: int) -> config.EncodingSpec:
    return config.EncodingSpec(name=name, family="mine:Mine", settings={"a": a})


def same(*encodings: config.EncodingSpec, shape: EncodingShape = SHAPE) -> dict[str, str]:
    return coinciding(list(encodings), shape)


def test_the_names_of_hope_of_rope_and_of_nothing():
    rope, hope = setting("rope", "rope"), setting("hope", "hope")
    assert same(
        hope,
        setting("p", "p_rope", p=46 / 64),
        setting("clip", "clipped_rope", kind="hard", count=9),
        setting("list", "hope", freeze="listed", components=list(range(23, 32))),
        setting("more", "p_rope", p=48 / 64),
        setting("random", "hope", freeze="random"),
    ) == {"p": "hope", "clip": "hope", "list": "hope"}
    assert same(
        setting("every", "hope", cutoff=0.0),
        rope,
        setting("still", "hope", cutoff=1e9),
        setting("none", "none"),
        setting("alibi", "alibi"),
        setting("empty", "p_rope", p=0.0),
        setting("base", "rope", base=10_001.0),
    ) == {"rope": "every", "none": "still", "empty": "still"}
    assert same(setting("rope", "rope", base="fast"), setting("hope", "hope", base=803.0)) == {}
    assert same(rope, setting("one", "clipped_rope", kind="soft", count=1)) == {"one": "rope"}
    assert same(rope, hope, setting("two", "clipped_rope", kind="soft", count=2)) == {}
    assert same(rope, hope, shape=shape_of(head_dim=4, length=4096)) == {"hope": "rope"}


def test_other_kinds_are_the_same_by_their_settings_and_their_training():
    assert same(
        setting("xpos", "xpos"),
        setting("again", "xpos", scale_base=512.0),
        setting("other", "xpos", scale_base=256.0),
        setting("text", "xpos", text_only=True),
        own("mine", 1),
        own("mine2", 1),
        own("mine3", 2),
    ) == {"again": "xpos", "mine2": "mine"}


def test_of_all_that_can_be_listed_only_those_coincide_that_must():
    # HoPE under the name of the hard clip, and given frequencies where none are given.
    assert same(*map(named, NAMES)) == {"clipped_rope_hard": "hope", "rotary": "rope"}
