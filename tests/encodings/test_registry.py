"""From a name in the config to a module."""

import math

import pytest

from hope import config
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.registry import build_encoding
from hope.errors import UserError
from tests.encodings.logits_of import shape_of


class Mine(Encoding):
    """A user's encoding."""

    def __init__(self, shape: EncodingShape, strength: float = 1.0) -> None:
        super().__init__(shape)
        self.strength = strength


NOT_ONE = "not an encoding"


def build(family: str, **settings: object) -> Encoding:
    return build_encoding(config.EncodingSpec(name="mine", family=family, settings=settings), shape_of(head_dim=8))


def test_a_users_class_gets_its_settings():
    assert build(f"{__name__}:Mine", strength=2.0).strength == 2.0


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("no_such_module:Mine", {}, "family: 'no_such_module:Mine' cannot be loaded"),
        (f"{__name__}:Mein", {}, "family: .*Mein' cannot be loaded"),
        (f"{__name__}:NOT_ONE", {}, "is no subclass of hope.encodings.base.Encoding"),
        (f"{__name__}:Mine", {"strenght": 1}, "settings: .*strenght"),
        ("darpe", {}, "family: 'darpe' is no encoding .did you mean 'darope'"),
        ("hope", {"cutof": 1.0}, "settings.cutof' .did you mean 'cutoff'"),
        ("hope", {"freeze": "listed", "components": [9]}, "settings: components: 9 is out of range"),
        ("hope", {"freeze": "listed", "components": [-1]}, "components.0: input should be greater than or equal to 0"),
        ("pope", {"base": -1}, "settings.base: input should be greater than 0"),
        ("fire", {"threshold": 0}, "settings.threshold: input should be greater than 0"),
        ("t5", {"max_distance": 16}, "settings.max_distance: input should be greater than 16"),
        ("sinusoidal", {"base": 0.0}, "settings.base: input should be greater than 0"),
        ("sinusoidal", {"base": math.nan}, "settings.base: input should be a finite number"),
        ("xpos", {"scale_base": 0.0}, "settings.scale_base: input should be greater than 0"),
    ],
)
def test_a_wrong_class_or_setting_is_one_clear_line(family, settings, words):
    with pytest.raises(UserError, match=f"definitions.mine.*{words}") as caught:
        build(family, **settings)
    assert "\n" not in str(caught.value)
