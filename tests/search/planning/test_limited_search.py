"""Limits of cost change what a search proposes and trains, and what its result says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from rich.console import Console

from attenergy.registry import Range, Registry
from attenergy.search.artifacts.select_run import choose_run
from attenergy.search.planning.cost_limits import CostLimits
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.report.html import costs
from attenergy.search.report.html.study_view import View
from attenergy.search.report.terminal import Screen
from attenergy.search.results.leaderboard import Leaderboard
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.study import run
from attenergy.search.study.infeasible import NothingFeasible, SlowRunListener
from attenergy.search.study.run import run_search
from attenergy.search.training import cost
from attenergy.search.training.model import build_model
from attenergy.tasks import make_task
from tests.search.study.conftest import in_own_folders, run_together, trials_of

pytestmark = pytest.mark.long  # whole searches or processes

PlanMaker = Callable[..., SearchPlan]


@pytest.mark.parametrize("variant", ["softmax", "lse", "rbm"])
def test_what_is_known_before_is_what_a_run_records(
    registry: Registry, make_plan: PlanMaker, variant: str
) -> None:
    names = ("parameters", "forward_flops", "training_flops", "state_bytes")
    plan = make_plan(variants=(variant,), cost_limits=dict.fromkeys(names, 1.0))
    space = Space(registry, plan)
    config = next(config for config in space.each() if config.variant == variant)
    task = make_task(config.task_spec)
    model = build_model(config, task)
    forward = cost.forward_flops(model, task.batch("valid", 0, 2), task.scored_positions)
    assert space.cost_before(config) == {
        "parameters": cost.count_parameters(model),
        "forward_flops": forward,
        "training_flops": 3 * 12 * 8 * forward,
        "state_bytes": cost.state_bytes(model, task.inputs.length),
    }


@pytest.fixture
def wide(registry: Registry) -> Registry:
    """Parameters go by the width: 8 k at 48, and the task's own 16 is small."""
    registry.spaces["tiny"] = {
        "width": Range(low=8, high=128, step=8),
        "heads": Range(choices=(2, 4)),
    }
    return registry


def test_a_limit_on_parameters_changes_what_is_proposed(
    wide: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    """The wider the better: only the limit keeps the sampler from the widest."""
    play(lambda config: [config.model.width / 200])
    plan = make_plan(
        variants=("softmax",),
        trials=12,
        control=0,
        finalists=1,
        cost_limits={"params": "8k"},
    )
    records = run_search(plan, wide, watcher)
    space = Space(wide, plan)
    trials = trials_of(plan)
    refused = [trial for trial in trials if "run" not in trial.user_attrs]
    assert len([r for r in records if r.purpose == "trial"]) == 12, "the refused are no trials"
    assert refused
    for record in records:
        assert space.cost_before(record.config)["parameters"] <= 8000
    for trial in refused:
        assert trial.state.name == "PRUNED"
        assert trial.constraints["parameters"] > 0
        assert trial.user_attrs["beyond"]["parameters"] > 8000
        assert "beyond the limits: parameters" in trial.user_attrs["reason"]
    early, late = (
        [trial for trial in trials if trial.number in span]
        for span in (range(1, len(trials) // 2), range(len(trials) // 2, len(trials)))
    )
    assert share_refused(late) < share_refused(early), "the sampler has learned"
    assert watcher.messages[0] == (
        "1 of 1 variant are within the limits (parameters <= 8,000) with their defaults"
    )
    board = read_study(Path(plan.folder)).leaderboard()
    assert board.untrained == {"softmax": len(refused)}
    assert f"; {len(refused)} proposals beyond them were not trained." in board.notes[0]
    more = run_search(plan.model_copy(update={"trials": 14}), wide, watcher, resume=True)
    assert len([r for r in more if r.purpose == "trial"]) == 14
    assert all(r.key in {m.key for m in more} for r in records)


def test_other_limits_are_another_generation(
    wide: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    """What was tried is judged anew; what was not trained for a tighter limit may be now."""
    play(lambda config: [config.model.width / 200])
    plan = make_plan(variants=("softmax",), trials=5, cost_limits={"params": "4k"})
    first = run_search(plan, wide, watcher)
    tight = [t for t in trials_of(plan) if "run" not in t.user_attrs]
    looser = plan.model_copy(update={"trials": 6, "cost_limits": {"parameters": 30_000.0}})
    run_search(looser, wide, watcher, resume=True)
    assert any("limit parameters has changed" in text for text in watcher.messages)
    trials = trials_of(looser)
    assert any(trial.user_attrs["beyond"]["parameters"] <= 30_000 for trial in tight)
    assert all(trial.constraints.keys() == {"parameters"} for trial in trials)
    untrained = [trial for trial in trials if "run" not in trial.user_attrs]
    assert all(trial.user_attrs["beyond"]["parameters"] > 30_000 for trial in untrained)
    assert {r.key for r in first} <= {trial.user_attrs.get("run") for trial in trials}
    free = looser.model_copy(update={"trials": 7, "cost_limits": {}})
    run_search(free, wide, watcher, resume=True)
    assert not any(trial.constraints for trial in trials_of(free)[:6])
    assert all("run" in trial.user_attrs for trial in trials_of(free))


def test_where_nothing_is_feasible_the_search_ends(
    wide: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("infeasible", "trial_queue", "run"):
        monkeypatch.setattr(f"attenergy.search.study.{module}.MOST_IN_A_ROW", 12)
    play(lambda config: [0.5])
    with_cost(monkeypatch, lambda _: {"parameters": 3000})
    plan = make_plan(trials=6, cost_limits={"params": 50}, finalists=1)
    with pytest.raises(NothingFeasible, match=r"none of the last 12 .*parameters <= 50.*nearest"):
        run_search(plan, wide, watcher)
    assert watcher.messages[0].startswith("0 of 3 variants are within the limits (parameters <= 50")
    assert watcher.messages[1].startswith("the baseline softmax is beyond the limits (parameters")
    assert [r.config.variant for r in watcher.records] == ["softmax"], "the reference is trained"
    assert sum("run" not in trial.user_attrs for trial in trials_of(plan)) == 2 + 12


def test_a_limit_on_milliseconds_changes_what_is_proposed(
    wide: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Known after the training alone: wide is best and too slow, so the sampler goes elsewhere."""
    play(lambda config: [config.model.width / 200])
    with_cost(monkeypatch, lambda config: {"ms_per_step": config.model.width})
    limited = make_plan(
        variants=("softmax", "linear"),
        trials=22,
        control=0,
        finalists=1,
        matched=(),
        cost_limits={"ms_per_step": 60},
    )
    records = run_search(limited, wide, watcher)
    free = limited.model_copy(update={"cost_limits": {}, "folder": f"{limited.folder}-free"})
    without = run_search(free, wide, watcher)
    assert mean_width(records[-8:]) < mean_width(without[-8:])
    finals = [r for r in records if r.purpose == "final"]
    assert finals
    assert all(r.cost["ms_per_step"] <= 60 for r in finals)
    assert max(r.config.model.width for r in without if r.purpose == "final") > 60
    study = read_study(Path(limited.folder))
    board = study.leaderboard()
    beyond = [row for row in board.rows if row.beyond]
    assert beyond
    assert all(row.beyond == {"ms_per_step": row.cost["ms_per_step"]} for row in beyond)
    trials = [bool(row.beyond) for row in board.rows if not row.final]
    assert trials == sorted(trials), "they come last"
    assert board.rows[0].scores["valid"].mean < max(r.scores["valid"].mean for r in beyond)
    best = choose_run(study.records, "best", board)
    assert best.config.model.width <= 60
    assert {p.rank for p in board.front}.isdisjoint(row.rank for row in beyond)
    assert list(board.front[0].values) == ["accuracy", "ms_per_step"]
    assert re.search(r"(softmax|linear)\S*†", board.markdown())
    assert board.notes[0] == "Limits of cost: ms_per_step <= 60."
    assert json.loads(board.json())["cost_limits"] == {"ms_per_step": 60.0}
    shown = screen(board)
    assert "† marks what is beyond" in shown
    assert "front of accuracy, ms_per_step" in shown
    pictures = {picture.name: picture for picture in costs.draw(View(study))}
    assert "Hollow points are beyond a limit" in pictures["cost-ms-per-step"].about
    assert ">limit<" in pictures["cost-ms-per-step"].svg("")
    slow = [t for t in trials_of(limited) if t.constraints["ms_per_step"] > 0]
    assert slow
    assert all(trial.state.name == "COMPLETE" and "beyond" in trial.user_attrs for trial in slow)


def test_drivers_that_join_share_the_limits(
    wide: Registry, make_plan: PlanMaker, play: Callable[..., None]
) -> None:
    """And what was ended untrained is no trial of either, even if its driver ends in the middle."""
    play(lambda config: [config.model.width / 200])
    plan = make_plan(variants=("softmax", "linear"), trials=8, cost_limits={"params": "8k"})
    plans = in_own_folders(plan, "file", 2)
    run_together(plans, wide, [Listener(), Listener()])
    trials = trials_of(plans[0])
    runs = [t for t in trials if "run" in t.user_attrs]
    refused = [t for t in trials if "run" not in t.user_attrs]
    assert (len(runs), len({t.user_attrs["run"] for t in runs})) == (8, 8)
    assert refused
    assert all(t.constraints["parameters"] <= 0 for t in runs)
    assert all(t.constraints["parameters"] > 0 for t in refused)
    boards = [read_study(Path(each.folder)).leaderboard() for each in plans]
    assert max(sum(board.untrained.values()) for board in boards) == len(refused)


def test_counts_that_somebody_else_wrote_are_checked(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    play(lambda config: [0.5])
    plan = make_plan(trials=3)
    run_search(plan, registry, watcher)
    file = Path(plan.folder) / "untrained.json"
    assert not file.exists()
    file.write_text('{"softmax": "<b>"}')
    with pytest.raises(ValueError, match=r"untrained.json: no counts of proposals: softmax"):
        read_study(Path(plan.folder)).leaderboard()


def test_a_run_that_is_clearly_too_slow_is_ended(watcher: Any) -> None:
    ended: list[tuple[str, str]] = []
    limits = CostLimits({"ms_per_step": 40.0})
    listener = SlowRunListener(
        watcher, limits, lambda *said: ended.append(said), lambda key: key == "reference"
    )
    for key, pace in {"fast": 30.0, "near": 59.0, "slow": 61.0, "reference": 90.0}.items():
        listener.evaluated(key, {"step": 6, "accuracy": 0.5, "ms_per_step": pace})
    listener.evaluated("unknown", {"step": 6, "accuracy": 0.5})
    assert ended == [("slow", "beyond the limits: ms_per_step 61 > 40")]
    assert len(watcher.points) == 5


def screen(board: Leaderboard) -> str:
    console = Console(file=StringIO(), width=100)
    console.print(Screen(board))
    return console.file.getvalue()  # type: ignore[attr-defined]


def mean_width(records: Sequence[RunRecord]) -> float:
    widths = [r.config.model.width for r in records if r.purpose == "trial"]
    return sum(widths) / len(widths)


def share_refused(trials: Sequence[optuna.trial.FrozenTrial]) -> float:
    return sum("run" not in trial.user_attrs for trial in trials) / len(trials)


def with_cost(
    monkeypatch: pytest.MonkeyPatch, measure: Callable[[RunConfig], dict[str, float]]
) -> None:
    """Let the executor that plays curves measure costs too."""
    make = run.make_executor

    def measuring(resources: Any, folder: Any) -> Any:
        executor = make(resources, folder)
        wait = executor.wait

        def measured(listener: Any) -> RunRecord:
            record = wait(listener)
            return record.model_copy(update={"cost": {**record.cost, **measure(record.config)}})

        monkeypatch.setattr(executor, "wait", measured)
        return executor

    monkeypatch.setattr(run, "make_executor", measuring)
