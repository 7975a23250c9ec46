"""The compact SVG shows the same picture."""

import io
import re
from xml.etree import ElementTree

import numpy as np

from hope.reporting.figures.files import compact
from hope.reporting.figures.style import new_figure, paper_style

SHAPES = ("path", "use", "text", "rect")


def plain() -> str:
    with paper_style():
        figure, (row,) = new_figure(6, 3, 1, 2)
        random = np.random.default_rng(0)
        for axes in row:
            axes.plot(random.normal(size=30), marker="o", color="#0072B2", label="one line")
            axes.scatter(random.normal(size=9) + 9, random.normal(size=9), c=np.arange(9.0), s=30)
            axes.set_title("a title")
        row[0].legend()
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg")
    return drawn.getvalue()


def shown(svg: str) -> list[tuple[str, str, str, list[float]]]:
    """Return what is drawn: kind, what it refers to, its whole style, its places."""
    found = []

    def walk(element: ElementTree.Element, style: str) -> None:
        own = {}
        for part in f"{style};{element.get('style', '')}".split(";"):
            key, _, value = part.partition(":")
            own[key.strip()] = value.strip()
        whole = ";".join(f"{key}:{own[key]}" for key in sorted(own) if key)
        kind = element.tag.rpartition("}")[2]
        if kind in SHAPES:
            # Turns and enlargements are kept to the digit; places are not.
            turned = re.sub(r"translate\([^)]*\)", "", element.get("transform", ""))
            places = " ".join(
                [
                    *(element.get(key, "") for key in ("d", "x", "y")),
                    *re.findall(r"translate\(([^)]*)\)", element.get("transform", "")),
                ]
            )
            target = next((value for key, value in element.attrib.items() if key.endswith("href")), "")
            found.append((kind, target + turned, whole, [float(one) for one in re.findall(r"-?\d+\.?\d*", places)]))
        for child in element:
            walk(child, whole)

    walk(ElementTree.fromstring(svg), "")
    return found


def test_it_is_smaller_and_shows_the_same() -> None:
    before = plain()
    after = compact(before)
    assert len(after) < 0.8 * len(before)
    assert compact(after) == after
    old, new = shown(before), shown(after)
    assert len(old) == len(new) > 60
    for (kind, target, style, places), (again, same, looks, near) in zip(old, new, strict=True):
        assert (kind, target, style) == (again, same, looks)
        np.testing.assert_allclose(places, near, atol=0.0051)


def test_everything_that_is_referred_to_is_there() -> None:
    after = compact(plain())
    targets = set(re.findall(r'href="#([\w-]+)"', after)) | set(re.findall(r"url\(#([\w-]+)\)", after))
    assert targets and targets <= set(re.findall(r' id="([\w-]+)"', after))
