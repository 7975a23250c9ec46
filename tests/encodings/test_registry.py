"""From a name in the config to a module."""

import pytest

from hope import config
from hope.catalogue import FAMILIES
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.registry import build_encoding
from hope.errors import UserError

SHAPE = EncodingShape(layers=2, width=16, heads=2, kv_heads=2, head_dim=8, length=16)


class Mine(Encoding):
    """A user's encoding."""

    def __init__(self, shape: EncodingShape, strength: float = 1.0) -> None:
        super().__init__(shape)
        self.strength = strength


def entry(family: str, **settings: object) -> config.Encoding:
    return config.Encoding(name="mine", family=family, settings=settings)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_built_as_the_catalogue_says(family):
    built = build_encoding(entry(family, **FAMILIES[family].settings().model_dump()), SHAPE)
    assert isinstance(built, Encoding)
    assert (built.longest is not None) == FAMILIES[family].bounded
    assert hasattr(built, "frequencies") == FAMILIES[family].rotary


def test_a_users_class_gets_its_settings():
    assert build_encoding(entry(f"{__name__}:Mine", strength=2.0), SHAPE).strength == 2.0


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("no_such_module:Mine", {}, "definitions.mine.family: 'no_such_module:Mine' cannot be loaded"),
        (f"{__name__}:Mein", {}, "cannot be loaded"),
        (f"{__name__}:SHAPE", {}, "is no subclass of hope.encodings.base.Encoding"),
        (f"{__name__}:Mine", {"strenght": 1}, "definitions.mine.settings: .*strenght"),
    ],
)
def test_a_wrong_class_is_one_clear_line(family, settings, words):
    with pytest.raises(UserError, match=words) as caught:
        build_encoding(entry(family, **settings), SHAPE)
    assert "\n" not in str(caught.value)
