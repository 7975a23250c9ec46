"""Mistakes in the config of length extensions and sliding windows: one line that names key and remedy."""

import pytest

from hope.config import MAIN, ExtrapolationStage, from_json, merge, parse_study, to_json
from hope.errors import UserError

SMALLEST = {"study": "x", "encodings": ["rope", "hope"]}
YARN = {"kind": "yarn", "factor": 4.0}
LONGROPE = {"kind": "longrope", "factor": 4.0, "short": [1.0] * 16, "long": [2.0] * 16}


@pytest.mark.parametrize(
    ("over", "line"),
    [
        ({"extensions": [{"kind": "yarm"}]}, "extensions.0: input tag 'yarm' found using 'kind' does not match any"),
        ({"extensions": [{"factor": 4.0}]}, "extensions.0: unable to extract tag using discriminator 'kind'"),
        (
            {"extensions": [YARN, {"kind": "linear", "factr": 4.0}]},
            "unknown key 'extrapolation.extensions.1.linear.factr' (did you mean 'factor'?); known here are name, kind",
        ),
        (
            {"extensions": [YARN | {"factor": 0.5}]},
            "extensions.0.yarn.factor: input should be greater than or equal to 1 (got 0.5)",
        ),
        ({"extensions": [YARN | {"fast": 1.0}]}, "extensions.0.yarn: fast 1 is not above slow 1"),
        ({"extensions": [YARN, YARN | {"slow": 2.0}]}, "extensions: 'yarn-4' is the label of two extensions; give"),
        ({"extensions": [YARN | {"name": "none"}]}, "extensions: 'none' means no extension"),
        ({"extensions": [{"kind": "ntk", "factor": 2.0, "slowest": "all"}]}, "should be 'spectrum' or 'kept'"),
        ({"extensions": [{"kind": "rerope", "window": 1.5}]}, "extensions.0.rerope.window: input should be less than"),
        (
            {"extensions": [LONGROPE | {"long": [2.0] * 4}]},
            "extrapolation.extensions.0.long: 4 factors, but a head of 32 dimensions has 16 components; give one for",
        ),
        ({"extensions": [LONGROPE | {"short": [0.5] * 16}]}, "longrope.short.0: input should be greater than or equal"),
        ({"strided": {"stride": 2.0}}, "extrapolation.strided: stride 2 is above window 1: tokens between would be"),
        ({"strided": {"window": 99.0}}, "extrapolation: strided.window 99 is above longest"),
        ({"strided": {"strid": 1.0}}, "unknown key 'extrapolation.strided.strid' (did you mean 'stride'?)"),
    ],
)
def test_a_mistake_is_one_line_with_key_and_remedy(over: dict, line: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_study(merge(SMALLEST, {"extrapolation": over}), "config.yaml")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_extensions_survive_the_command_line() -> None:
    kinds = [
        YARN,
        LONGROPE,
        {"kind": "linear", "factor": 2},
        {"kind": "ntk", "factor": 2.5, "slowest": "kept"},
        {"kind": "dynamic-ntk"},
        {"kind": "rerope", "window": 0.25},
    ]
    over = {"extrapolation": {"extensions": kinds, "strided": {"stride": 0.25}}}
    stage = parse_study(merge(SMALLEST, over), "x").arms[MAIN].extrapolation_stage()
    assert from_json(ExtrapolationStage, to_json(stage)) == stage
    labels = [extension.label for extension in stage.extrapolation.extensions]
    assert labels == ["yarn-4", "longrope-4", "linear-2", "ntk-kept-2.5", "dynamic-ntk-1", "rerope-0.25L"]
