"""Settings that coincide are found, and those that do not are not."""

from hope import config
from hope.catalogue import NAMES, family_settings
from hope.encodings.identities import coinciding
from hope.encodings.shape import EncodingShape
from tests.encodings.logits_of import named

SHAPE = EncodingShape(layers=2, width=128, heads=2, kv_heads=2, head_dim=64, length=4096)


def setting(name: str, family: str, text_only: bool = False, **settings: object) -> config.EncodingSpec:
    filled = family_settings(family, settings)
    return config.EncodingSpec(name=name, family=family, settings=filled, text_only=text_only)


def test_the_names_of_hope():
    same = coinciding(
        [
            setting("hope", "hope"),
            setting("p", "p_rope", p=46 / 64),
            setting("clip", "clipped_rope", kind="hard", count=9),
            setting("list", "hope", freeze="listed", components=list(range(23, 32))),
            setting("more", "p_rope", p=48 / 64),
            setting("random", "hope", freeze="random"),
        ],
        SHAPE,
    )
    assert same == {"p": "hope", "clip": "hope", "list": "hope"}


def test_the_names_of_rope_and_of_nothing():
    same = coinciding(
        [
            setting("every", "hope", cutoff=0.0),
            setting("rope", "rope"),
            setting("still", "hope", cutoff=1e9),
            setting("none", "none"),
            setting("alibi", "alibi"),
            setting("empty", "p_rope", p=0.0),
            setting("base", "rope", base=10_001.0),
        ],
        SHAPE,
    )
    assert same == {"rope": "every", "none": "still", "empty": "still"}


def test_what_coincides_depends_on_the_sizes():
    encodings = [setting("rope", "rope", base="fast"), setting("hope", "hope", base=803.0)]
    assert coinciding(encodings, SHAPE) == {}
    both = [setting("rope", "rope"), setting("hope", "hope")]
    assert coinciding(both, SHAPE) == {}
    assert coinciding(both, EncodingShape(1, 8, 2, 2, head_dim=4, length=4096)) == {"hope": "rope"}


def test_other_kinds_are_the_same_by_their_settings_and_their_training():
    same = coinciding(
        [
            setting("xpos", "xpos"),
            setting("again", "xpos", scale_base=512.0),
            setting("other", "xpos", scale_base=256.0),
            setting("text", "xpos", text_only=True),
            config.EncodingSpec(name="mine", family="mine:Mine", settings={"a": 1}),
            config.EncodingSpec(name="mine2", family="mine:Mine", settings={"a": 1}),
            config.EncodingSpec(name="mine3", family="mine:Mine", settings={"a": 2}),
        ],
        SHAPE,
    )
    assert same == {"again": "xpos", "mine2": "mine"}


def test_of_all_that_can_be_listed_only_those_coincide_that_must():
    # HoPE under the name of the hard clip, and given frequencies where none are given.
    assert coinciding([named(name) for name in NAMES], SHAPE) == {"clipped_rope_hard": "hope", "rotary": "rope"}
