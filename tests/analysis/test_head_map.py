"""The map of layers by heads."""

from __future__ import annotations

import pytest

from attenergy.analysis.drawing import colour
from attenergy.analysis.head_map import Cell, draw_cells, short_names, side_by_side, tone_key


def test_one_box_for_every_head_and_none_where_there_is_none() -> None:
    pytest.importorskip("matplotlib")
    rows = {"a": [Cell("level-5", "1"), Cell("line")], "b" * 40: [None, Cell("bad", "2")]}
    with side_by_side(["before", "after"], rows=2) as (figure, every):
        for axes in every:
            draw_cells(axes, rows)
        tone_key(figure, {"one": "level-5", "none": "bad"})
    left, right = every
    assert len(left.patches) == len(right.patches) == 3
    assert [text.get_text() for text in left.texts] == ["1", "2"]
    assert left.texts[0].get_color() == colour("card")  # light on dark
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "\u2026" + "b" * 25]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "none"]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["encoder.layer.0.self", "encoder.layer.11.self"], ["layer.0", "layer.11"]),
        (["blocks.0.mixer", "blocks.1.mixer", "blocks.1.mixer (2)"], None),
        (["EnergyAttention"], None),
        (["a", "a.b"], None),
        (["enc.0.x", "dec.0.x"], ["enc", "dec"]),
        (["same", "same"], None),
    ],
)
def test_names_without_what_all_share(names: list[str], shown: list[str] | None) -> None:
    assert short_names(names) == (shown or names)
