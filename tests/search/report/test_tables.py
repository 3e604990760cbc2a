from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from attenergy.search.comparison.compare import ComparePlan
from attenergy.search.planning.command_line import command
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.report.html import tables
from attenergy.search.report.html.study_view import View


def board_of(one_study: Any, make_record: Any, tmp_path: Path, gain: float, seeds: int) -> View:
    records = [
        make_record(name, (0.5 + extra, 0.5 + extra + 0.001 * seed), seed=seed, purpose="compare")
        for name, extra in (("softmax", 0.0), ("lse", gain))
        for seed in range(seeds)
    ]
    return View(one_study(tmp_path, records))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gain", "seeds", "kind"), [(0.1, 8, "beats"), (0.1, 3, "undecided"), (-0.1, 8, "loses")]
)
def test_the_verdict_is_that_of_the_leaderboard(
    one_study: Any, make_record: Any, tmp_path: Path, gain: float, seeds: int, kind: str
) -> None:
    view = board_of(one_study, make_record, tmp_path, gain, seeds)
    shown = tables.shown_verdict(view.board.verdict)
    assert shown["kind"] == kind
    assert shown["word"] == (kind if kind == "undecided" else f"lse {kind}")
    assert shown["sentence"] == view.board.verdict.sentence


def test_bars_lie_between_chance_and_the_best(
    one_study: Any, make_record: Any, tmp_path: Path
) -> None:
    board = tables.leaderboard(board_of(one_study, make_record, tmp_path, 0.1, 3))
    first, second = board["finals"]
    assert first["scores"][0]["bar"]["at"] == 100
    # Chance is .125, the best .6, the second .5.
    assert second["scores"][0]["bar"]["at"] == pytest.approx(100 * 0.375 / 0.475, abs=0.01)


def test_proposers_are_told_apart(one_study: Any, make_record: Any, tmp_path: Path) -> None:
    values = (("sampler", 0.4), ("sampler", 0.8), ("control", 0.6))
    records = [
        make_record("lse", (score,), beta=n).model_copy(update={"proposer": who})
        for n, (who, score) in enumerate(values)
    ]
    study = one_study(tmp_path, records)
    assert tables.proposers(View(study)) == [  # type: ignore[arg-type]
        ["sampler", "2", "0.800", "0.600"],
        ["random control", "1", "0.600", "0.600"],
    ]


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (
            SearchPlan(
                study="s",
                folder="runs/s",
                task="t",
                variants=("lse", "rbm"),
                trials=9,
                train_steps=100,
                fix={"heads": 4, "lse.beta": 0.5},
                task_options={"pairs": 3},
                storage="postgresql://user:secret@host/db",
            ),
            "attenergy search --study s --task t --set pairs=3 --energies lse,rbm --trials 9 "
            "--steps 100 --fix heads=4 --fix lse.beta=0.5",
        ),
        (
            ComparePlan(name="c", folder="runs/c", task="t", variants=("a", "b"), seeds=7),
            "attenergy compare --study c --task t --variants a,b --seeds 7",
        ),
        (
            ComparePlan(
                name="c", folder="f", task="t", variants=("a",), learning_rates=(0.001, 0.003)
            ),
            "attenergy compare --study c --task t --variants a --learning-rates 0.001,0.003",
        ),
    ],
)
def test_the_command_line_comes_back_from_the_plan(
    plan: SearchPlan | ComparePlan, expected: str
) -> None:
    assert command(plan) == expected


def test_of_very_many_runs_the_best_are_listed(
    one_study: Any, make_record: Any, tmp_path: Path
) -> None:
    records = [make_record("lse", (n / 10,), beta=float(n)) for n in range(8)]
    lost = make_record("lse", status="failed", reason="why", beta=99.0)
    view = View(one_study(tmp_path, [lost, *records]))  # type: ignore[arg-type]
    assert [row[6] for row in tables.runs(view, most=2)] == ["0.700", "0.600"]
    assert len(tables.runs(view)) == 9
