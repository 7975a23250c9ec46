"""Any part of a config as YAML with comments: sections, maps and lists of them, examples, long lines."""

from typing import Any

import yaml
from pydantic import Field

from hope.config.default import as_yaml
from hope.section import Section


class Size(Section):
    """Size of a model. Two numbers."""

    width: int = Field(8, description="of the residual stream")
    layers: int = Field(2, description="of the decoder")


class Group(Section):
    """Models that share their size."""

    size: Size = Size()
    names: list[str] = Field(default=[], description="of the models")


class Plain(Section):
    """Nothing to set."""


class Whole(Section):
    """A config."""

    size: Size = Size()
    group: Group = Group()
    plain: Plain = Plain()
    groups: dict[str, Group] = Field(default={}, description="Groups by name", examples=[{"one": {"names": ["a"]}}])
    sizes: list[Size] = Field(default=[], description="sizes of a sweep")
    text: str | None = Field(None, description="a description of more words than fit behind the value, " + "so " * 20)
    overlays: dict[str, Any] = Field(default={}, description="any other keys")


EXPECTED = """
# Size of a model. Two numbers.
size:
  width: 8 # of the residual stream
  layers: 2 # of the decoder

# Models that share their size.
group:
  size: # size of a model. Two numbers
    width: 8 # of the residual stream
    layers: 2 # of the decoder
  names: [] # of the models

# Nothing to set.
plain: {}

# Groups by name; for example
#   groups:
#     one:
#       names: [a] # of the models
groups:
  large:
    size: # size of a model. Two numbers
      width: 16 # of the residual stream
  small: {}

sizes: [{width: 1}, {layers: 3}] # sizes of a sweep

# a description of more words than fit behind the value, so so so so so so so so so so so so so so so so so so so so
text: null

overlays: # any other keys
  long: [NAME, NAME, NAME, NAME]
  short: {key: 1.0}
""".replace("NAME", "a" * 30)


def test_a_config_is_written_with_its_descriptions():
    whole = Whole(
        groups={"large": Group(size=Size(width=16)), "small": Group()},
        sizes=[Size(width=1), Size(layers=3)],
        overlays={"long": ["a" * 30] * 4, "short": {"key": 1.0}},
    )
    assert as_yaml(whole) == EXPECTED
    assert Whole.model_validate(yaml.safe_load(EXPECTED)) == whole
