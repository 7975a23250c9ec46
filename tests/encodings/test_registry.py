"""From a name in the config to a module."""

import math

import pytest

from hope import config
from hope.catalogue import FAMILIES, family_settings
from hope.encodings.base import Encoding, EncodingShape
from hope.encodings.registry import build_encoding
from hope.errors import UserError

SHAPE = EncodingShape(layers=3, width=32, heads=4, kv_heads=2, head_dim=8, length=16)


class Mine(Encoding):
    """A user's encoding."""

    def __init__(self, shape: EncodingShape, strength: float = 1.0) -> None:
        super().__init__(shape)
        self.strength = strength


def entry(family: str, **settings: object) -> config.EncodingSpec:
    return config.EncodingSpec(name="mine", family=family, settings=settings)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_built_as_the_catalogue_says(family):
    known = FAMILIES[family]
    built = build_encoding(entry(family, **family_settings(family, {})), SHAPE)
    assert isinstance(built, Encoding)
    assert (built.longest is not None) == FAMILIES[family].bounded
    assert hasattr(built, "frequencies") == FAMILIES[family].rotary
    assert (built.has_bias, built.has_logits) == (known.kernel == "bias", False)
    own = sum(parameter.numel() for parameter in built.parameters())
    assert own == known.parameter_count(SHAPE)


def test_a_users_class_gets_its_settings():
    assert build_encoding(entry(f"{__name__}:Mine", strength=2.0), SHAPE).strength == 2.0


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("no_such_module:Mine", {}, "definitions.mine.family: 'no_such_module:Mine' cannot be loaded"),
        (f"{__name__}:Mein", {}, "cannot be loaded"),
        (f"{__name__}:SHAPE", {}, "is no subclass of hope.encodings.base.Encoding"),
        (f"{__name__}:Mine", {"strenght": 1}, "definitions.mine.settings: .*strenght"),
        ("darpe", {}, "definitions.mine.family: 'darpe' is no encoding .did you mean 'darope'"),
        ("hope", {"cutof": 1.0}, "unknown key 'definitions.mine.settings.cutof' .did you mean 'cutoff'"),
        ("hope", {"freeze": "listed", "components": [9]}, "definitions.mine.settings: components: 9 is out of range"),
        ("hope", {"freeze": "listed", "components": [-1]}, "components.0: input should be greater than or equal to 0"),
        ("pope", {"base": -1}, "definitions.mine.settings.base: input should be greater than 0"),
        ("fire", {"threshold": 0}, "definitions.mine.settings.threshold: input should be greater than 0"),
        ("t5", {"max_distance": 16}, "definitions.mine.settings.max_distance: input should be greater than 16"),
        ("sinusoidal", {"base": 0.0}, "definitions.mine.settings.base: input should be greater than 0"),
        ("sinusoidal", {"base": -1.0}, "definitions.mine.settings.base: input should be greater than 0"),
        ("sinusoidal", {"base": math.nan}, "definitions.mine.settings.base: input should be a finite number"),
        ("xpos", {"scale_base": 0.0}, "definitions.mine.settings.scale_base: input should be greater than 0"),
    ],
)
def test_a_wrong_class_is_one_clear_line(family, settings, words):
    with pytest.raises(UserError, match=words) as caught:
        build_encoding(entry(family, **settings), SHAPE)
    assert "\n" not in str(caught.value)
