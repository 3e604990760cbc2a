from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from attenergy.search.report.over_tasks import TasksScreen, sweep_of, verdict_over
from attenergy.search.results.statistics import Interval
from attenergy.search.results.task_table import Column, Matrix
from attenergy.search.results.verdict import RowVerdict, Verdict


def column(name: str, task: str = "t") -> Column:
    scores = {v: Interval(0.5, 0.4, 0.6, 5) for v in ("softmax", "lse", "rbm")}
    return Column(name, task, "accuracy", "test", 0.1, 1.0, scores, {})


def matrix(*names: str, task: str = "t") -> Matrix:
    return Matrix("m", ("softmax", "lse", "rbm"), tuple(column(n, task) for n in names))


def said(kind: Any, **calls: Any) -> Verdict:
    rows = [
        RowVerdict(variant, place, call, 0.1, None, None, 0.01, 8, None)
        for place, (variant, call) in enumerate(calls.items(), start=1)
    ]
    return Verdict(kind, "", tuple(rows))


def test_calls_are_counted_over_tasks() -> None:
    verdicts = {
        "a": said("beats", lse="beats", rbm="loses"),
        "b": said("undecided", lse="undecided", rbm="loses"),
        "c": said("unlearned", lse="undecided", rbm="undecided"),
    }
    verdict = verdict_over(matrix("a", "b", "c"), verdicts)
    assert verdict.kind == "beats"
    assert verdict.sentence == (
        "Held against `softmax`: `lse` beats it on 1, is undecided on 1 of 2 tasks; `rbm` loses to "
        "it on 2 of 2 tasks. Nobody learned `c`."
    )


@pytest.mark.parametrize(
    ("verdicts", "kind"),
    [
        ({"a": said("loses", lse="loses")}, "loses"),
        ({"a": said("undecided", lse="undecided")}, "undecided"),
        (
            {"a": said("loses", lse="loses"), "b": said("undecided", lse="undecided")},
            "loses",
        ),
        ({"a": said("loses", lse="loses", rbm="undecided")}, "loses"),
        ({"a": said("beats", lse="beats"), "b": said("loses", lse="loses")}, "undecided"),
        ({"a": said("unlearned", lse="undecided")}, "unlearned"),
        ({"a": said("none")}, "none"),
        ({}, "none"),
    ],
)
def test_the_kind_over_tasks(verdicts: dict[str, Verdict], kind: str) -> None:
    verdict = verdict_over(matrix("a", "b"), verdicts)
    assert verdict.kind == kind
    assert verdict.sentence


def test_the_terminal_says_the_finding_first() -> None:
    stream = io.StringIO()
    screen = TasksScreen(matrix("a", "b"), {"a": said("beats", lse="beats")})
    Console(width=80, file=stream).print(screen)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith(" BEATS   Held against softmax: lse beats it on 1 of 1 task")
    assert any(line.startswith("softmax 0.500±.100 0.500±.100") for line in lines)
    assert "m: accuracy on the split iid" in lines
    assert lines[-1] == "how to read this: --explain"


def test_a_sweep_is_known_by_its_columns() -> None:
    assert sweep_of(matrix("pairs-4", "pairs-16")) == ("pairs", [4.0, 16.0])
    assert sweep_of(matrix("pairs-4")) is None
    assert sweep_of(matrix("word-a5", "word-z60")) is None
    assert sweep_of(matrix("a", "b")) is None
    mixed = Matrix("m", ("softmax",), (column("s-3", "one"), column("s-5", "two")))
    assert sweep_of(mixed) is None
