"""An axis shows every interval but real outliers, and marks where it cuts one."""

import numpy as np
import pytest

from hope.reporting.figures.limits import limits_of, mark_cuts
from hope.reporting.figures.style import new_figure


def test_the_widest_of_few_intervals_is_not_cut() -> None:
    assert limits_of([0.0, 0.1], [-0.01, -9.0], [0.01, 9.0]) == (-9.0, 9.0)
    # One wider than the others, but no outlier: a length extension of the default study.
    assert limits_of([-0.29, 0.0, 0.03, -0.08], [-0.43, 0.0, 0.0, -0.15], [-0.14, 0.0, 0.06, -0.01])[0] == -0.43
    assert limits_of([0.5], [np.nan], [np.nan]) == (0.5, 0.5) and limits_of([], [], []) == (0.0, 0.0)


def test_an_outlier_is_cut_and_every_estimate_is_shown() -> None:
    middle = np.linspace(-1, 1, 9)
    low, high = middle - 0.5, middle + 0.5
    low[4], high[4] = -50.0, 50.0
    assert limits_of(middle, low, high) == (-1.5, 1.5)
    assert limits_of([*middle, 20.0], [*low, np.nan], [*high, np.nan])[1] == 20.0
    low[4], high[4] = -np.inf, np.inf
    assert limits_of(middle, low, high) == (-1.5, 1.5)
    low[4], high[4] = -4.0, 4.0  # wide, and not beyond three times the rest
    assert limits_of(middle, low, high) == (-4.0, 4.0)


@pytest.mark.parametrize("along", ["x", "y"])
def test_each_cut_end_has_an_arrow_at_the_edge(along: str) -> None:
    _, ((axes,),) = new_figure(3, 3)
    getattr(axes, f"set_{along}lim")(-1, 1)
    mark_cuts(axes, along, [0, 1, 2], [-5, -0.5, np.nan], [5, 0.5, np.nan], "black")
    marks = {line.get_marker(): line.get_xydata().tolist() for line in axes.get_lines()}
    expected = {"<": [[-1, 0]], ">": [[1, 0]]} if along == "x" else {"v": [[0, -1]], "^": [[0, 1]]}
    assert marks == expected
