"""SVG as small as it can be said simply: half of what matplotlib writes shows nothing."""

import re

_PLACES = re.compile(r'(?: (?:d|x|y)="|translate\()[^")]*')
_DIGITS = re.compile(r"-?\d+\.\d{3,}")
_NAMES = re.compile(r' id="(?:figure|axes|patch|line2d|text|legend|xtick|ytick|matplotlib\.axis|\w+Collection)_\d+"')
_MARKS = re.compile(r'<g([^>]*)>\n((?:<use [^>]* style="[^"]*"/>\n)+)</g>')
_UNTURNED = re.compile(r' transform="rotate\(-?0 [^"]*"')
_STYLE = re.compile(r' style="[^"]*"')


def compact(svg: str) -> str:
    """Return an SVG of matplotlib's that looks the same.

    Places are rounded to hundredths of a point, lines are not indented, groups that nothing refers to have
    no name, and markers of one look say it once.
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
