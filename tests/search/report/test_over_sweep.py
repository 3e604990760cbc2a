"""What is said of a sweep, and its picture."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from attenergy.search.report.html import scaling
from attenergy.search.report.html.overview import command_line
from attenergy.search.report.over_sweep import leads, verdict_over_sweep, with_finding
from attenergy.search.report.over_tasks import TasksScreen
from attenergy.search.results.statistics import Interval
from attenergy.search.results.task_table import Column, Matrix
from attenergy.search.results.verdict import RowVerdict, Verdict

SEEDS = range(1, 9)


def column(
    point: dict[str, Any],
    call: Any = "beats",
    gap: float = 0.05,
    spread: float = 0.001,
    kind: Any = None,
) -> Column:
    """A column in which lse is `gap` ahead of softmax, more or less."""
    differences = {seed: gap + spread * (-1) ** seed for seed in SEEDS}
    row = RowVerdict("lse", 1, call, gap, None, None, 0.01, len(SEEDS), None)
    scores = {v: Interval(0.5, 0.4, 0.6, 8) for v in ("softmax", "lse")}
    verdict = Verdict(kind or call, "", (row,))
    name = "-".join(f"{k}-{v}" for k, v in point.items())
    return Column(
        name, "t", "accuracy", "test", 0.1, 1.0, scores, {}, point=point, verdict=verdict,
        differences={"lse": differences},
    )  # fmt: skip


def sweep(*columns: Column) -> Matrix:
    return with_finding(Matrix("m", ("softmax", "lse"), columns))


def said(*columns: Column) -> str:
    finding = sweep(*columns).finding
    assert finding is not None
    return finding.sentence


def test_a_lead_at_every_value_that_shrinks() -> None:
    narrow, wide = column({"width": 32}), column({"width": 128}, gap=0.01)
    assert said(wide, column({"width": 64}, gap=0.03), narrow) == (
        "On `valid`, `lse` beats `softmax` at every width; its lead shrinks from +0.050 at 32 to "
        "+0.010 at 128."
    )
    assert "its lead grows from +0.010 at 128 to +0.050 at 256" in said(
        wide, column({"width": 256}, gap=0.05)
    )


def test_a_change_within_the_noise_is_none() -> None:
    text = said(column({"width": 8}, spread=0.1), column({"width": 16}, gap=0.051, spread=-0.1))
    assert text == (
        "On `valid`, `lse` beats `softmax` at every width; the difference, +0.050 at 8 to +0.051 "
        "at 16, changes by no more than the seeds explain."
    )


def test_a_sign_that_turns_and_values_where_nobody_learned() -> None:
    columns = (
        column({"train_instances": 1000}, "undecided", kind="unlearned"),
        column({"train_instances": 64_000}, "loses", -0.02),
        column({"train_instances": 1_000_000}, "beats", 0.03),
    )
    assert said(*columns) == (
        "On `valid`, `lse` beats `softmax` at train_instances 1M, loses to `softmax` at "
        "train_instances 64k; the difference turns from -0.020 at 64k to +0.030 at 1M. Nobody "
        "learned at train_instances 1k."
    )
    assert verdict_over_sweep(sweep(*columns)).kind == "undecided"
    assert said(columns[0]) == "Nobody learned at train_instances 1k."
    assert verdict_over_sweep(sweep(columns[0])).kind == "unlearned"


def test_too_few_seeds_are_said() -> None:
    few = column({"width": 8}, "undecided")
    row = replace(few.verdict.rows[0], seeds=3)  # type: ignore[union-attr]
    few = replace(few, verdict=Verdict("undecided", "", (row,)), differences={"lse": {1: 0.1}})
    assert said(few) == (
        "On `valid`, `lse` is undecided beside `softmax` at width 8 (+0.050). 3 seeds are too few "
        "to call anything (6 are the fewest)."
    )


def test_points_of_two_quantities_have_no_trend() -> None:
    columns = [
        column({"layers": layers, "width": width}, "beats" if width == 8 else "undecided")
        for layers in (1, 2)
        for width in (8, 16)
    ]
    assert said(*columns) == (
        "On `valid`, `lse` beats `softmax` at point (layers 1, width 8) and (layers 2, width 8), "
        "is undecided beside `softmax` at point (layers 1, width 16) and (layers 2, width 16) "
        "(differences +0.050 to +0.050)."
    )
    assert [lead.change for lead in leads(sweep(*columns))] == [None]


def test_words_have_no_trend() -> None:
    words = column({"positions": "rotary"}), column({"positions": "none"}, gap=0.01)
    assert said(*words) == (
        "On `valid`, `lse` beats `softmax` at every positions (differences +0.010 to +0.050)."
    )


def test_the_terminal_and_the_page_say_what_was_decided_at_each_value() -> None:
    matrix = sweep(column({"width": 8}), column({"width": 16}, "undecided", 0.01))
    stream = io.StringIO()
    Console(width=80, file=stream).print(TasksScreen(matrix, {}))
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    assert lines[0].startswith(" BEATS   On valid, lse beats softmax at width 8")
    assert "variant    width 8   width 16 mean rank" in lines
    assert "lse     +0.050 beats +0.010 undecided" in lines
    text = matrix.markdown()
    assert "On `valid`, `lse` beats `softmax` at width 8" in text
    assert "| lse     | +0.050 beats | +0.010 undecided |" in text


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ((32, 64, 128), True),
        ((1, 2, 3), False),
        ((4, 16, 32, 63), True),
        ((16, 32, 48, 64), False),
        ((0, 10, 100), False),
        ((1, 2), False),
        ((1, 100), True),
    ],
)
def test_geometric_values_have_a_logarithmic_axis(values: tuple[float, ...], log: bool) -> None:
    assert scaling.geometric(values) is log


def test_one_picture_and_several_of_a_crossed_sweep() -> None:
    pytest.importorskip("matplotlib")
    (one,) = scaling.draw(sweep(column({"width": 16}), column({"width": 64}), column({"width": 8})))
    axes = one.figure.axes[0]
    assert (one.name, one.title) == ("sweep", "Score against width")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "16", "64"]
    assert axes.get_xscale() == "log"
    assert [line.get_label() for line in axes.lines[:2]] == ["softmax", "lse"]
    assert [text.get_text() for text in axes.texts] == ["chance", "ceiling"]
    harder = replace(column({"width": 128}), ceiling=0.8)
    (one,) = scaling.draw(sweep(column({"width": 8}), harder))
    assert [line.get_label() for line in one.figure.axes[0].lines][2] == "ceiling"
    crossed = [column({"layers": a, "width": b}) for a in (1, 2) for b in (8, 16, 32)]
    pictures = scaling.draw(sweep(*crossed))
    assert [p.name for p in pictures] == ["sweep-layers-1", "sweep-layers-2"]
    limits = [p.figure.axes[0].get_ylim() for p in pictures]
    assert limits[0] == limits[1]
    words = sweep(column({"positions": "rotary"}), column({"positions": "none"}))
    assert scaling.draw(words) == []


def test_the_page_says_how_to_do_it_again() -> None:
    from attenergy.search.planning.plan import ComparePlan

    matrix = sweep(column({"width": 8}), column({"width": 16}))
    plans = [
        ComparePlan(
            name="x", folder="f", task="t", variants=("softmax",), fix={"width": w, "mlp": 4}
        )
        for w in (8, 16)
    ]
    assert command_line(matrix, plans) == (
        "attenergy compare --study m --task t --variants softmax,lse --fix mlp=4 --sweep width=8,16"
    )
    assert command_line(matrix, [plans[0], None]) == ""
