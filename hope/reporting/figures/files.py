"""Write figures as PNG and as SVG, without the half of matplotlib's SVG that shows nothing."""

import io
import re
from pathlib import Path
from typing import BinaryIO

import matplotlib
from matplotlib.figure import Figure

from hope.files import whole_file
from hope.reporting.figures.style import paper_style

FONTS = "font-family: 'DejaVu Sans', Verdana, sans-serif"
_PLACES = re.compile(r'(?: (?:d|x|y)="|translate\()[^")]*')
_DIGITS = re.compile(r"-?\d+\.\d{3,}")
_NAMES = re.compile(r' id="(?:figure|axes|patch|line2d|text|legend|xtick|ytick|matplotlib\.axis|\w+Collection)_\d+"')
_MARKS = re.compile(r'<g([^>]*)>\n((?:<use [^>]* style="[^"]*"/>\n)+)</g>')
_UNTURNED = re.compile(r' transform="rotate\(-?0 [^"]*"')
_STYLE = re.compile(r' style="[^"]*"')


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG and PNG (``path`` without suffix), each whole; equal data give equal bytes."""
    with whole_file(path.with_name(f"{path.name}.svg")) as temporary:
        save_svg(figure, temporary)
    with whole_file(path.with_name(f"{path.name}.png")) as temporary, paper_style():
        figure.savefig(temporary, format="png", dpi=160, metadata={"Software": None})


def save_svg(figure: Figure, target: Path | BinaryIO, outlines: bool = True) -> None:
    """Write a figure as SVG without the date and the name of the program.

    Args:
        figure: the figure.
        target: path of a file, or an open file.
        outlines: draw letters as outlines, which look the same on a machine without the font. Otherwise they are text
            and the file is half as large.
    """
    drawn = io.StringIO()
    with paper_style():
        matplotlib.rcParams["svg.fonttype"] = "path" if outlines else "none"
        figure.savefig(drawn, format="svg", dpi=160, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = compact(drawn.getvalue())
    if not outlines:  # name the font once for all letters, with substitutes
        text = text.replace(" font-family: 'DejaVu Sans';", "")
        text = text.replace('<style type="text/css">*{', f'<style type="text/css">text{{{FONTS}}} *{{')
    content = text.encode()
    if isinstance(target, Path):
        target.write_bytes(content)
    else:
        target.write(content)


def compact(svg: str) -> str:
    """Return a smaller SVG that looks the same as ``svg``, which matplotlib wrote.

    Coordinates are rounded to hundredths of a point, lines are not indented, groups that nothing refers to have
    no id, and markers of one style share it.
    """
    svg = _PLACES.sub(lambda places: _DIGITS.sub(_rounded, places[0]), svg)
    svg = _UNTURNED.sub("", _NAMES.sub("", re.sub(r"\n +", "\n", svg)))
    return _MARKS.sub(_styled_once, svg)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _styled_once(group: re.Match[str]) -> str:
    attributes, marks = group.groups()
    styles = set(_STYLE.findall(marks))
    if len(styles) > 1 or "style=" in attributes:
        return group[0]
    return f"<g{attributes}{styles.pop()}>\n{_STYLE.sub('', marks)}</g>"
