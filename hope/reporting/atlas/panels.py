"""The picture of one encoding: a logit over distance, before any training."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from hope import config
from hope.analysis.logit_curves import at_start, bias_of_heads, equal_pair, position_products
from hope.analysis.theory import decay
from hope.catalogue import FAMILIES, family_settings
from hope.catalogue.custom import load
from hope.encodings.base import Encoding
from hope.encodings.shape import EncodingShape
from hope.reporting.figures.kernels import octave_mean
from hope.reporting.figures.legends import add_legend, name_lines
from hope.reporting.figures.lines import panel_grid
from hope.reporting.figures.style import MUTED, EncodingStyle, encoding_styles, length_axis, new_figure

FARTHEST = 4
"""Largest distance drawn, in training lengths."""
HEADS = 6
"""Most heads drawn of an encoding that treats heads differently, evenly chosen."""
_POINTS, _FEW_POINTS = 200, 36
_MARKS, _FEW_MARKS = 7, 4
_STEEP = -8.0
"""A panel whose values fall below this has an axis that is logarithmic below -1."""
DISTANCE = "distance, in training lengths L"
RELATIVE = "{}, relative\nto distance 0"


Role = Literal["main", "raw", "bound", "one", "early"]


@dataclass(frozen=True, eq=False)
class Curve:
    """One line.

    Attributes:
        label: its name.
        tokens: x values.
        values: y values.
        role: ``main``; ``raw``, the values behind a mean; ``bound``; ``one`` of several equal curves; or ``early``,
            one of several equal curves that ends before others.
    """

    label: str
    tokens: NDArray[np.int64]
    values: NDArray[np.float64]
    role: Role = "main"


@dataclass(frozen=True)
class Panel:
    """One pair of axes: a title, the names of the axes, and curves; ``short`` names the y axis in one word."""

    title: str
    x: str
    y: str
    short: str
    curves: tuple[Curve, ...]


def panels(name: str, shape: EncodingShape) -> list[Panel]:
    """Return the panels of the family ``name`` with its default settings, at the sizes of ``shape``."""
    own = FAMILIES[name].panels
    if own is not None:
        return load(own)(shape)
    built = family_at_start(name, shape)
    if built.has_bias:
        return [_bias(built)]
    return [_vectors(built) if "embed" in built.own_hooks() else _pair(built)]


def family_at_start(name: str, shape: EncodingShape, **settings: float) -> Encoding:
    """Return an encoding of the family ``name`` with its initial parameters."""
    encoding = config.EncodingSpec(name=name, family=name, settings=family_settings(name, settings))
    return at_start(encoding, shape)


def _pair(built: Encoding) -> Panel:
    """Return the logit of an equal query and key, and the summation bound of a rotation."""
    distance = tokens_up_to(FARTHEST * built.shape.length)
    logit = equal_pair(built, int(distance[-1]), distance)
    curves = _smoothed(distance, logit)
    phasors, at_zero = (built.phasors(tokens) for tokens in (distance, np.array([0])))
    if phasors is not None and at_zero is not None:
        bound = decay(phasors)["bound"] / decay(at_zero)["bound"]
        curves = (*curves, Curve("summation bound", distance, octave_mean(distance, bound), "bound"))
    return Panel("equal query and key", DISTANCE, RELATIVE.format("logit"), "logit", curves)


def _vectors(built: Encoding) -> Panel:
    """Return the inner product of the vectors of two positions."""
    last = FARTHEST * built.shape.length if built.longest is None else built.longest - 1
    distance = tokens_up_to(last)
    curves = _smoothed(distance, position_products(built, last, distance))
    title = "vectors of two positions"
    return Panel(title, DISTANCE, RELATIVE.format("inner product"), "product", curves)


def _smoothed(distance: NDArray[np.int64], values: NDArray[np.float64]) -> tuple[Curve, ...]:
    """Return values at single distances and their mean over an octave; one curve if all values are equal."""
    if np.ptp(values) == 0:
        return (Curve("at every distance", distance, values),)
    mean = Curve("mean over an octave", distance, octave_mean(distance, values))
    return (Curve("single distances", distance, values, "raw"), mean)


def _bias(built: Encoding) -> Panel:
    """Return the bias of some heads; from two query positions if it depends on the position."""
    length, heads = built.shape.length, _some(built.shape.heads)
    near, far = (tokens_up_to(query) for query in (length, FARTHEST * length))
    from_near = bias_of_heads(built, length, near)
    from_far = bias_of_heads(built, FARTHEST * length, far)
    if np.allclose(from_near, bias_of_heads(built, FARTHEST * length, near), atol=1e-4):
        curves = [Curve(f"head {head + 1}", far, from_far[head], "one") for head in heads]
    else:
        curves = [Curve(f"head {head + 1}, query at L", near, from_near[head], "early") for head in heads]
        curves += [Curve(f"head {head + 1}, at {FARTHEST}L", far, from_far[head], "one") for head in heads]
    return Panel("bias of each head", DISTANCE, "added to the logit", "bias", tuple(curves))


def tokens_up_to(last: int) -> NDArray[np.int64]:
    """Return up to :data:`_POINTS` whole numbers from 1 to ``last``, about evenly spaced on a logarithmic scale."""
    return np.unique(np.geomspace(1, last, _POINTS).round().astype(np.int64))


def _some(heads: int) -> list[int]:
    return sorted({round(at) for at in np.linspace(0, heads - 1, min(heads, HEADS))})


def family_figure(name: str, shape: EncodingShape) -> Figure:
    """Return the picture of one family."""
    shown = panels(name, shape)
    figure, (row,) = new_figure(6.2 if len(shown) == 1 else 4.4 * len(shown), 2.9, 1, len(shown))
    for axes, panel in zip(row, shown, strict=True):
        draw_panel(axes, panel, encoding_styles([name])[name], shape.length)
        axes.set_title(f"{name}: {panel.title}" if axes is row[0] else panel.title)
        axes.set_xlabel(panel.x)
        axes.set_ylabel(panel.y + ("\n(logarithmic below −1)" if axes.get_yscale() == "symlog" else ""))
    if any(curve.role == "one" for panel in shown for curve in panel.curves):
        name_lines(figure, row, few=1)
    elif len(shown[0].curves) > 1:
        add_legend(figure)
    return figure


def overview(names: list[str], shape: EncodingShape, columns: int = 4) -> Figure:
    """Return the first panels of several families in one figure; panels of logits share one scale."""
    figure, _, grid = panel_grid(len(names), columns, panel=(2.75, 2.05), margin=(0.0, 0.2))
    for axes, name in zip(grid, names, strict=True):
        panel = panels(name, shape)[0]
        thinned = tuple(_thinned(curve) for curve in panel.curves if curve.role != "raw")
        style = encoding_styles([name])[name]
        draw_panel(axes, replace(panel, curves=thinned), style, shape.length, every=3, marks=_FEW_MARKS)
        axes.set_title(name)
        last = name in names[-columns:]
        axes.tick_params(labelsize=8, length=0, labelbottom=last)
        axes.grid(False)
        axes.locator_params(axis="y", nbins=3) if axes.get_yscale() == "linear" else None
        axes.set_ylabel(panel.short, fontsize=8)
    figure.supxlabel("distance (darope: position), in training lengths L", fontsize=9)
    return figure


def _thinned(curve: Curve) -> Curve:
    kept = np.unique(np.linspace(0, len(curve.tokens) - 1, _FEW_POINTS).round().astype(int))
    return replace(curve, tokens=curve.tokens[kept], values=curve.values[kept])


def draw_panel(
    axes: Axes, panel: Panel, style: EncodingStyle, length: int, every: int = 2, marks: int = _MARKS
) -> None:
    """Draw one panel in an encoding's style.

    Args:
        axes: axes to draw on.
        panel: the panel.
        style: style of the encoding.
        length: the training length L in tokens.
        every: distance between labels of the x axis, in powers of two.
        marks: number of markers per line.
    """
    equals = [curve for curve in panel.curves if curve.role == "one"]
    for curve in panel.curves:
        rank = equals.index(curve) / len(equals) if curve in equals else 0.0
        # Markers at even steps along the axis: along the path, jagged parts would get too many.
        places = np.geomspace(1, curve.tokens[-1], marks if curve.role in ("main", "one") else 0)
        marked = sorted(set(np.searchsorted(curve.tokens, places).tolist()))
        look = _look(curve.role, rank, style)
        axes.plot(curve.tokens / length, curve.values, label=curve.label, markevery=marked, **look)
    lowest = min(float(curve.values.min()) for curve in panel.curves)
    if lowest < _STEEP:
        axes.set_yscale("symlog", linthresh=1.0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    elif "logit," in panel.y:
        axes.set_ylim(min(-0.15, lowest - 0.03), 1.08)
    length_axis(axes, [1 / length, FARTHEST], "", every=every)


def _look(role: Role, rank: float, style: EncodingStyle) -> dict[str, Any]:
    """Return the keywords of a line with this role; ``rank``, from 0 to 1, fades equal curves."""
    if role == "raw":
        return {"color": style.color, "linewidth": 0.6, "alpha": 0.5}
    if role == "bound":
        return {"color": MUTED, "linewidth": 1.2, "linestyle": (0, (1.0, 1.2))}
    plain = style.line()
    if role == "early":
        return plain | {"linewidth": 1.0, "linestyle": (0, (1.0, 1.0)), "marker": ""}
    return plain | ({"alpha": 1.0 - 0.55 * rank, "linewidth": 1.4} if role == "one" else {})
