"""Figures of several axes."""

from __future__ import annotations

import pytest

from attenergy.analysis.drawing import Picture, colour, panels


def test_panels_are_a_grid_in_one_style() -> None:
    pytest.importorskip("matplotlib")
    with panels(2, 3, (6.0, 4.0)) as (figure, grid):
        grid[1][2].plot([0, 1], [0, 1])
    assert [len(row) for row in grid] == [3, 3]
    assert figure.axes == [axes for row in grid for axes in row]
    assert tuple(figure.get_size_inches()) == (6.0, 4.0)
    assert {axes.title.get_color() for axes in figure.axes} == {colour("ink")}
    assert Picture("grid", "Grid", "About.", figure).svg().startswith("<svg")
