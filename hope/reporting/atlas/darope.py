"""The panels of DaRoPE: the clock that turns its slow components, and a logit from two positions."""

from hope.analysis.logit_curves import clock, equal_pair
from hope.encodings.darope import Darope
from hope.encodings.shape import EncodingShape
from hope.reporting.atlas.panels import (
    DISTANCE,
    FARTHEST,
    RELATIVE,
    Curve,
    Panel,
    Role,
    family_at_start,
    tokens_up_to,
)
from hope.reporting.figures.kernels import octave_mean

ALPHAS = (0.0, 0.25, 0.5, 1.0)
"""Weights alpha of the position for which the clock is drawn."""


def panels(shape: EncodingShape) -> list[Panel]:
    """Return both panels at the sizes of ``shape``."""
    return [_clocks(shape), _from_two_positions(shape)]


def _clocks(shape: EncodingShape) -> Panel:
    """Return the clock at several weights of the position, without any effect of the content (w = 0)."""
    position = tokens_up_to(FARTHEST * shape.length)
    curves = []
    for alpha in ALPHAS:
        built = family_at_start("darope", shape, w_std=0.0, alpha=alpha)
        assert isinstance(built, Darope)
        curves.append(Curve(f"α = {alpha:g}", position, clock(built, position) / shape.length, "one"))
    return Panel(
        "clock of slow components, w = 0", "position m, in training lengths L", "clock c, in L", "clock", tuple(curves)
    )


def _from_two_positions(shape: EncodingShape) -> Panel:
    """Return the logit of an equal query and key, for a query within the training length and one past it."""
    built, curves = family_at_start("darope", shape), []
    roles: dict[int, Role] = {1: "early", FARTHEST: "one"}
    for multiple, role in roles.items():
        query = multiple * shape.length - 1
        distance = tokens_up_to(query)
        label = f"query at {multiple if multiple > 1 else ''}L"
        curves.append(Curve(label, distance, octave_mean(distance, equal_pair(built, query, distance)), role))
    title = "equal query and key, mean over an octave"
    return Panel(title, DISTANCE, RELATIVE.format("logit"), "logit", tuple(curves))
