"""The rotary spectra of families and presets: the turns that each component makes within L."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from hope.catalogue import FAMILIES, NAMES, PRESETS
from hope.catalogue.spectra import TURN, Spectrum
from hope.config import Arm, EncodingSpec
from hope.encodings.shape import EncodingShape
from hope.reporting.figures.legends import add_legend
from hope.reporting.figures.style import INK, MUTED, encoding_styles, new_figure

_SHARE = 0.999
"""A component below this share of its whole frequency counts as slowed."""
LONG_DIM, LONG_LENGTH, LONG_BASE = 64, 4096, 500_000.0
"""Head dimension, training length and base that are common in models of long contexts."""


class Spectra(NamedTuple):
    """Spectra by name, their sizes, and the title of their picture."""

    shape: EncodingShape
    title: str
    spectra: dict[str, Spectrum]


def all_spectra(arm: Arm, shape: EncodingShape) -> dict[str, Spectra]:
    """Return the spectra of all rotary families and presets by picture: at the study's sizes, and at long contexts.

    At long contexts the base is 500,000, unless a preset sets another one.
    """
    long, of_long = longer(shape), {}
    names = [name for name in NAMES if name in PRESETS or not FAMILIES[name].given]
    for name in names:
        encoding = listed(arm, name)
        if "base" in encoding.settings and not (name in PRESETS and "base" in PRESETS[name].settings):
            encoding = encoding.model_copy(update={"settings": encoding.settings | {"base": LONG_BASE}})
        of_long[name] = spectrum_of(encoding, long)
    by_picture = {
        "spectra": (shape, _title(shape), {name: spectrum_of(listed(arm, name), shape) for name in names}),
        "spectra_long": (long, f"{_title(long)}, b = {LONG_BASE:,.0f}", of_long),
    }
    return {
        picture: Spectra(sizes, title, {name: one for name, one in found.items() if one is not None})
        for picture, (sizes, title, found) in by_picture.items()
    }


def listed(arm: Arm, name: str) -> EncodingSpec:
    """Return the built-in family or preset ``name``, even if the study defines another encoding of that name."""
    return arm.model_copy(update={"definitions": {}}).encoding(name)


def longer(shape: EncodingShape) -> EncodingShape:
    """Return the sizes of a model of long contexts."""
    return dataclasses.replace(shape, head_dim=LONG_DIM, length=LONG_LENGTH)


def spectrum_of(encoding: EncodingSpec, shape: EncodingShape) -> Spectrum | None:
    """Return the spectrum of an encoding at these sizes; None if it is not rotary."""
    return FAMILIES[encoding.family].spectrum_at(encoding.settings, shape.head_dim, shape.length)


def _title(shape: EncodingShape) -> str:
    return f"d = {shape.head_dim}, L = {shape.length:,}"


def spectra_figure(spectra: dict[str, Spectrum], length: int, title: str) -> Figure:
    """Draw the components of rotary encodings over their turns within L, from fast to slow, one row per encoding.

    Args:
        spectra: spectra by name of the encoding.
        length: the training length L in tokens.
        title: title of the figure.
    """
    figure, ((axes,),) = new_figure(9.4, 0.27 * len(spectra) + 1.35)
    styles = encoding_styles(spectra)
    for row, (name, spectrum) in enumerate(spectra.items()):
        color = styles[name].color
        turns, whole = (_turns(values, length) for values in (spectrum.frequencies, spectrum.whole))
        still = (turns == 0) & (whole > 0)
        slowed = (turns > 0) & (turns < _SHARE * whole)
        turning = (turns > 0) & ~slowed
        _marks(axes, turns[turning], row, color, color, "o")
        _marks(axes, turns[slowed], row, color, color, "|")
        _marks(axes, whole[still], row, "white", color, "o")
        unplaced = len(turns) - int(turning.sum() + slowed.sum() + still.sum())
        kept = f"{spectrum.kept} of {len(turns)}"
        note = f"{kept}; {unplaced} without a frequency" if unplaced else kept
        axes.text(1.01, row, note, transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=INK)
    axes.set_title(title)
    _frame(axes, list(spectra))
    axes.plot([], [], "o", color=MUTED, label="turns")
    axes.plot(
        [], [], "|", color=MUTED, markeredgecolor=MUTED, markersize=8, markeredgewidth=1.4, label="slowed to here"
    )
    axes.plot([], [], "o", markerfacecolor="white", markeredgecolor=MUTED, label="stands still")
    add_legend(figure)
    return figure


def _turns(frequencies: Sequence[float], length: int) -> np.ndarray:
    return np.array(frequencies) * length / TURN


def _marks(axes: Axes, places: np.ndarray, row: int, face: str, edge: str, marker: str) -> None:
    size, width = (6.5, 1.4) if marker == "|" else (4.2, 0.9)
    look: dict[str, Any] = {
        "markersize": size,
        "markeredgewidth": width,
        "markerfacecolor": face,
        "markeredgecolor": edge,
    }
    axes.plot(places, np.full(len(places), row), linestyle="none", marker=marker, zorder=3, **look)


def _frame(axes: Axes, names: list[str]) -> None:
    """Set the axes: fast components on the left, in the order of their numbers, and a line at HoPE's cutoff."""
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.xaxis.set_major_locator(LogLocator(base=10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("turns within the training length L, from fast (j = 0) to slow")
    axes.axvline(1.0, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", color="#f2f2f2")
