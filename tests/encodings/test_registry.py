"""From a name in the config to a module."""

import math
import sys

import pytest
import torch

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


class Raising(Encoding):
    """Takes a number that is not 0."""

    def __init__(self, shape: EncodingShape, by: float) -> None:
        super().__init__(shape)
        self.share = 1 / by


class Ending(Encoding):
    """Ends the process."""

    def __init__(self, shape: EncodingShape) -> None:
        sys.exit(0)


class Torn(Encoding):
    """Has tables that do not fit each other: an error of torch's."""

    def __init__(self, shape: EncodingShape) -> None:
        super().__init__(shape)
        self.table = torch.zeros(3) @ torch.zeros(4)


class Early(Encoding):
    """Has a parameter before it is a module."""

    def __init__(self, shape: EncodingShape) -> None:
        self.slope = torch.nn.Parameter(torch.zeros(1))


class Forgetful(Encoding):
    """Is no module at all."""

    def __init__(self, shape: EncodingShape) -> None:
        self.shape = shape


class Shapeless(Encoding):
    """Is a module without sizes."""

    def __init__(self, shape: EncodingShape) -> None:
        torch.nn.Module.__init__(self)


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
        ("xpos", {"scale_base": 0.03}, "settings.scale_base: input should be greater than or equal to 0.03125"),
        ("xpos", {"scale_base": 1e300}, "settings.scale_base: input should be less than or equal to 1000000000"),
        ("darope", {"w_std": 1e300}, "settings.w_std: input should be less than or equal to 1000000000"),
        ("darope", {"alpha": -1e300}, "settings.alpha: input should be greater than or equal to -1000000000"),
        ("fire", {"threshold": 1e300}, "settings.threshold: input should be less than or equal to 1000000000"),
        ("t5", {"max_distance": 10**400}, "settings.max_distance: input should be less than or equal to 1000000000"),
        (
            f"{__name__}:Raising",
            {"by": "64"},
            "settings: .*Raising cannot be made with them .TypeError: .*test_registry.py:",
        ),
        (f"{__name__}:Raising", {"by": 0}, "settings: .*ZeroDivisionError: .* at .*test_registry.py:"),
        (f"{__name__}:Ending", {}, "settings: .*SystemExit: 0 at .*test_registry.py:"),
        (f"{__name__}:Torn", {}, "settings: .*RuntimeError: .* at .*test_registry.py:"),
        (
            f"{__name__}:Early",
            {},
            "settings: .*AttributeError: cannot assign parameters before .* at .*test_registry.py:",
        ),
        (f"{__name__}:Forgetful", {}, "family: the __init__ of .*Forgetful must call super.*__init__.shape"),
        (f"{__name__}:Shapeless", {}, "family: the __init__ of .*Shapeless must call super.*__init__.shape"),
    ],
)
def test_a_wrong_class_or_setting_is_one_clear_line(family, settings, words):
    with pytest.raises(UserError, match=f"definitions.mine.*{words}") as caught:
        build(family, **settings)
    assert "\n" not in str(caught.value)
