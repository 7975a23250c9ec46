"""Which line is which: names that stay apart, inside the picture, in the order of the lines."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from hope.catalogue import FAMILIES
from hope.reporting.figures.legends import FEW, add_legend, broken, name_lines, spread
from hope.reporting.figures.style import encoding_styles, new_figure, paper_style

NAMES = [f"{name} (1 seed)" for name in FAMILIES if name != "rotary"]


def drawn(count: int, panels: int = 1, width: float = 7.6, height: float = 4.0) -> Figure:
    figure, (row,) = new_figure(width, height, 1, panels)
    for axes in row:
        for number, name in enumerate(NAMES[:count]):
            family = name.split()[0]
            axes.plot([1, 2, 3], [0, 0, number % 5], label=name, **encoding_styles([family])[family].line())
    return figure


def boxes(figure: Figure, texts: list) -> np.ndarray:
    figure.draw_without_rendering()
    return np.array([text.get_window_extent().extents for text in texts])


def overlap(found: np.ndarray) -> bool:
    shared = (
        np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        for one, other in itertools.combinations(found, 2)
    )
    return any((sides > 0.5).all() for sides in shared)


@pytest.mark.parametrize(("count", "panels"), [(1, 1), (FEW, 1), (FEW, 2), (16, 2)])
def test_a_legend_has_every_name_within_the_picture(count: int, panels: int) -> None:
    with paper_style():
        figure = drawn(count, panels)
        add_legend(figure)
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()] == NAMES[:count]
        found = boxes(figure, legend.get_texts())
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= [figure.bbox.width, figure.bbox.height]).all()
    assert not overlap(found)


def test_many_lines_are_named_at_their_ends() -> None:
    with paper_style():
        figure = drawn(16, height=1.8)  # too low for sixteen names
        (axes,) = figure.axes
        name_lines(figure, [axes])
        assert not figure.legends
        assert sorted(text.get_text() for text in axes.texts) == sorted(NAMES)
        found = boxes(figure, axes.texts)
        inside = axes.get_window_extent()
    assert not overlap(found)
    assert (found[:, 0] > inside.x1).all() and (found[:, 2] <= figure.bbox.width).all()
    assert (found[:, 1] >= 0).all() and (found[:, 3] <= figure.bbox.height).all()
    ends = {name: number % 5 for number, name in enumerate(NAMES)}
    upwards = [ends[axes.texts[at].get_text()] for at in np.argsort(found[:, 1])]
    assert upwards == sorted(upwards)


def test_a_long_name_at_the_end_of_a_line_is_within_the_picture() -> None:
    with paper_style():
        figure = drawn(FEW + 1)
        figure.axes[0].get_lines()[2].set_label("a_very_long_name_of_an_encoding_that_goes_on_and_on_and_on")
        name_lines(figure, figure.axes)
        found = boxes(figure, figure.axes[0].texts)
    assert (found[:, 2] <= figure.bbox.width).all()


def test_few_lines_have_a_legend() -> None:
    with paper_style():
        figure = drawn(4)
        name_lines(figure, figure.axes)
    assert len(figure.legends) == 1 and not figure.axes[0].texts


@pytest.mark.parametrize("count", [2, FEW, 16])
def test_a_long_name_takes_no_room_from_the_panels(count: int) -> None:
    def panel(name: str) -> tuple[float, float]:
        figure = drawn(count, panels=2)
        for axes in figure.axes:
            axes.get_lines()[-1].set_label(name)
        add_legend(figure)
        figure.draw_without_rendering()
        extent = figure.axes[0].get_window_extent()
        return extent.width, extent.height

    with paper_style():
        short, long = panel("none"), panel("a_very_long_name_of_an_encoding_that_goes_on = " + "x" * 50)
    assert np.array(long) == pytest.approx(short, rel=0.12)


def test_a_name_is_broken_where_it_can_be() -> None:
    assert broken("rope_base_100k_long_run = rope_base_100k", 24) == "rope_base_100k_long_run\n= rope_base_100k"
    assert broken("x" * 10, 4) == "xxxx\nxxxx\nxx" and broken("rope", 4) == "rope"


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=20), st.floats(0.001, 0.2))
def test_places_are_apart_and_in_order(wanted: list[float], gap: float) -> None:
    places = spread(sorted(wanted), gap)
    assert (np.diff(places) >= gap - 1e-9).all()
    assert places[0] >= -1e-9
    if (len(wanted) - 1) * gap <= 1:
        assert places[-1] <= 1 + 1e-9


def test_places_that_need_not_move_stay_and_two_that_must_part_evenly() -> None:
    assert spread([0.1, 0.5, 0.9], 0.2) == pytest.approx([0.1, 0.5, 0.9])
    assert spread([0.1, 0.5, 0.5, 0.9], 0.2) == pytest.approx([0.1, 0.4, 0.6, 0.9])
    assert spread([0.0, 0.0], 0.2) == pytest.approx([0.0, 0.2])
    assert spread([1.0, 1.0, 1.0], 0.2) == pytest.approx([0.6, 0.8, 1.0])
