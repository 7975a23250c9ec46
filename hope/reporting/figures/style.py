"""The style of all figures: one colour, marker and line per encoding, the same in all of them.

The colours are Okabe and Ito's, which readers with any colour vision can distinguish. Every line also has a marker
and a dash pattern of its own, so that a grey print can be read.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from hope.catalogue import FAMILIES, PRESETS
from hope.catalogue.family import Marker
from hope.measures import length_name

INK = "#222222"
MUTED = "#6b6b6b"
RULE = "#d9d9d9"
MARKER = 4.6
"""Size of a marker, in points."""
VERDICTS = {"supported": "#00734f", "contradicted": "#b34700", "inconclusive": "#6b6b6b"}
SYMBOLS = {"supported": "✓", "contradicted": "✗", "inconclusive": "?"}

Dash = tuple[float, tuple[float, ...]] | str


@dataclass(frozen=True)
class EncodingStyle:
    """The style of one encoding."""

    color: str
    marker: Marker
    dash: Dash
    size: float = 1.0
    """Size of the marker relative to others: stars have little area."""

    def line(self, **changes: Any) -> dict[str, Any]:
        """Return the keywords of a line with ``changes``; a ``markersize`` is that of a disk."""
        look = {"color": self.color, "marker": self.marker, "linestyle": self.dash, **changes}
        return look | {"markersize": self.size * changes.get("markersize", MARKER)}


# The dashes show where the encoding acts; colour and marker are each family's own.
_DASHES: dict[str, Dash] = {
    "queries and keys": "-",
    "logits": (0, (5.0, 1.6)),
    "embeddings": (0, (3.0, 1.2, 1.0, 1.2)),
    "nothing": (0, (1.0, 1.4)),
}
_FAMILIES = {
    name: EncodingStyle(family.color, family.marker, _DASHES[family.acts_on], family.marker_size)
    for name, family in FAMILIES.items()
}
# Presets and encodings of a user have dashes that no family has; each colour comes with several of them.
_COLORS = ("#E69F00", "#56B4E9", "#882255", "#44AA99", "#999933", "#332288", "#661100", "#7F3C8D")


def _pool(*marks: tuple[Marker, Dash]) -> tuple[EncodingStyle, ...]:
    return tuple(EncodingStyle(color, marker, dash) for marker, dash in marks for color in _COLORS)


_OF_RANK = _pool(("s", (0, (1.5, 0.9))), ("D", (0, (7.0, 1.4))))
_PRESETS = {name: _OF_RANK[preset.rank] for name, preset in PRESETS.items() if preset.rank < len(_OF_RANK)}
_OTHERS = _pool(("P", (0, (4.0, 1.2))), ("X", (0, (2.0, 1.0))), ("p", (0, (6.0, 1.2, 1.0, 1.2))))
_KNOWN = _FAMILIES | _PRESETS


def encoding_styles(names: Iterable[str]) -> dict[str, EncodingStyle]:
    """Return a style for each encoding, no two alike while there are enough.

    A family and a preset with a rank have a fixed style. The style of any other encoding follows from its name alone,
    so that it is the same in every study, unless another name of the same study has that style; then it is the next
    free one. The order of ``names`` does not matter.
    """
    styles = {name: _KNOWN[name] for name in names if name in _KNOWN}
    taken: set[int] = set()
    for name in sorted(set(names) - set(_KNOWN)):
        wanted = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % len(_OTHERS)
        if len(taken) < len(_OTHERS):
            while wanted in taken:
                wanted = (wanted + 1) % len(_OTHERS)
        taken.add(wanted)
        styles[name] = _OTHERS[wanted]
    return styles


@contextmanager
def paper_style() -> Iterator[None]:
    """Set matplotlib's parameters for the block: plain axes, and files that depend on the data alone."""
    parameters: dict[Any, Any] = {
        "svg.hashsalt": "hope",  # ids in an SVG are random without it
        "svg.fonttype": "path",  # looks the same on a machine without the font
        "figure.facecolor": "white",
        "figure.dpi": 100,
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#ececec",
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "lines.linewidth": 1.7,
        "lines.markersize": MARKER,
        "lines.markeredgecolor": "white",
        "lines.markeredgewidth": 0.5,
        "legend.frameon": False,
        "legend.handlelength": 2.6,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(parameters)
        yield


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of ``width`` x ``height`` inches and its axes as rows of columns."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, [list(row) for row in axes]


def length_axis(axes: Axes, values: Iterable[float], label: str, every: int = 1) -> None:
    """Make the x axis log2 in units of the training length: ticks at powers of two, L marked, past L shaded.

    Args:
        axes: axes to set.
        values: the values drawn, in training lengths; the positive ones set ticks and limits.
        label: label of the axis.
        every: distance between labels, in powers of two; L has one. Where fewer than two would be in view, it is 1,
            and over less than an octave both ends have a label instead.
    """
    positive = [value for value in values if value > 0]
    if not positive:
        return
    low, high = min(positive), max(positive)
    least, most = low / 1.15, high * 1.15
    octaves = {power: 2.0**power for power in range(-20, 21) if least <= 2.0**power <= most}
    ticks = [octave for power, octave in octaves.items() if power % every == 0]
    if len(ticks) < 2:
        ticks = list(octaves.values()) if len(octaves) > 1 else sorted({low, high})
    names = [length_name(tick if tick in octaves.values() else float(f"{tick:.3g}")) for tick in ticks]
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter(names))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)
    axes.axvline(1.0, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    if high > 1.0:
        axes.axvspan(1.0, high * 1.5, color="#f4f1ea", linewidth=0, zorder=0)
    axes.set_xlim(least, most)


def plain_log(axes: Axes) -> None:
    """Make the y axis logarithmic, with plain numbers at its ticks."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 3.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
