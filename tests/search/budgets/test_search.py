"""Searches under a budget in time, with runs that take as long as planted."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import ArgumentError, Registry
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.budgets.sessions import read_sessions
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.report.text import as_json, as_markdown
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.study.run import run_search
from tests.search.budgets.conftest import Clock
from tests.search.study.conftest import check_everything_is_there

pytestmark = pytest.mark.long  # whole searches or processes

PlanMaker = Callable[..., SearchPlan]
Planted = Callable[..., Any]


def undecided(config: RunConfig) -> float:
    return 0.5 + random.Random(config.run_key()).gauss(0, 0.02)


def timed(make_plan: PlanMaker, budget: str, **changes: Any) -> SearchPlan:
    fields = {"finalists": 2, "seeds": 2, "final_budget": None, "trials": None, "matched": ()}
    fields["pause"] = 0
    return make_plan(**{**fields, "budget": budget, **changes})


def search(plan: SearchPlan, registry: Registry, watcher: Any, clock: Clock, **options: Any) -> Any:
    assert plan.budget is not None
    begin, seconds = clock.now, TimeBudget.of(plan.budget)
    assert seconds is not None
    budget = TimeBudget(seconds.seconds, plan.budget, begin, clock)
    records = run_search(plan, registry, watcher, time_budget=budget, **options)
    return records, clock.now - begin


def purposes(records: list[RunRecord]) -> Counter[str]:
    return Counter(record.purpose for record in records)


def test_a_search_of_ten_minutes(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    planted(lambda config, moment: 30.0 if config.variant == "hyla" else 20.0, score=undecided)
    plan = timed(make_plan, "10m")
    records, took = search(plan, registry, watcher, clock)
    assert 0.9 * 600 <= took <= 570
    count = purposes(records)
    assert 25 <= count["trial"] <= 33  # 330 s, two at a time, of 20 or 30 s
    assert 18 <= count["final"] <= 26
    assert watcher.messages[0] == "measuring the pace: softmax, for moments in each of 2 processes"
    expected = watcher.messages[1]
    assert expected.startswith("budget 10m: about ")
    assert expected.endswith(
        "each, 2 at a time), then about 6 seeds of the baseline and of 2 finalists"
    )
    bought = watcher.messages[-1]
    assert bought.startswith(f"budget 10m: {count['trial']} trials and {count['final']} runs of ")
    totals = [total for _, total in watcher.forecasts]
    assert abs(totals[len(totals) // 3] - count["trial"]) <= 5, "it learns the pace"
    check_everything_is_there(plan, count["trial"])

    [session] = read_sessions(Path(plan.folder)).sessions
    assert (session.trials, session.finals) == (count["trial"], count["final"])
    assert (session.budget, session.ended, session.expected) == ("10m", "complete", expected)
    assert session.spent == pytest.approx(took)
    stored = json.loads((Path(plan.folder) / "plan.json").read_text())
    assert (stored["budget"], stored["trials"], stored["final_budget"]) == ("10m", None, "rest")
    study = read_study(Path(plan.folder))
    assert json.loads(as_json(study))["time_budget"][0]["trials"] == count["trial"]
    assert f"## Time budget\n\n- {bought}" in as_markdown(study)


def test_resuming_adds_the_same_again_without_measuring(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    executor = planted(10.0, score=undecided)
    plan = timed(make_plan, "2m")
    before, _ = search(plan, registry, watcher, clock)
    made = len(executor.runs)
    watcher.messages.clear()
    records, took = search(plan, registry, watcher, clock, resume=True)
    assert records[: len(before)] == before
    assert 100 <= took <= 120
    assert len(executor.runs) - made == len(records) - len(before)
    assert watcher.messages[0].startswith("budget 2m: about 13 trials more of 12 steps (10 s each")
    sessions = read_sessions(Path(plan.folder)).sessions
    assert [session.budget for session in sessions] == ["2m", "2m"]
    assert sum(session.trials for session in sessions) == purposes(records)["trial"]
    check_everything_is_there(plan, purposes(records)["trial"])


@pytest.mark.parametrize("limits", [{"trials": 4}, {"trials": 9}])
def test_what_is_reached_first_ends_the_trials(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    planted: Planted,
    clock: Clock,
    limits: dict[str, int],
) -> None:
    planted(20.0, score=undecided)
    records, _ = search(timed(make_plan, "2m", **limits), registry, watcher, clock)
    assert purposes(records)["trial"] == min(limits["trials"], 6)


def test_a_decided_race_leaves_its_time_to_other_trials(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    def clear(config: RunConfig) -> float:
        noise = random.Random(config.run_key()).gauss(0, 0.001)
        return {"softmax": 0.3, "linear": 0.5, "hyla": 0.7}[config.variant] + noise

    planted(10.0, score=clear)
    records, took = search(timed(make_plan, "10m"), registry, watcher, clock)
    assert [name for name, _, _ in watcher.phases].count("trials") > 1
    assert 0.85 * 600 <= took <= 570
    assert purposes(records)["trial"] > 70, "the first part had 66"


def test_runs_are_shortened_where_nothing_else_fits_and_stay_so(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    planted(lambda config, moment: 5.0 * config.training.steps, slots=1, score=undecided)
    plan = timed(make_plan, "4m")  # six runs of a minute, of the least that says anything
    records, took = search(plan, registry, watcher, clock)
    steps = {record.config.training.steps for record in records}
    assert len(steps) == 1
    assert 3 <= steps.pop() < 12
    assert any("they are shortened to" in text for text in watcher.messages)
    assert took <= 240
    again, _ = search(plan, registry, watcher, clock, resume=True)
    assert len({record.config.training.steps for record in again}) == 1
    assert len(again) > len(records)


@pytest.mark.parametrize("changes", [{}, {"train_steps": 12}])
def test_too_little_time_is_refused_with_what_is_enough(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    planted: Planted,
    clock: Clock,
    changes: dict[str, int],
) -> None:
    executor = planted(lambda config, moment: 5.0 * config.training.steps, slots=1)
    plan = timed(make_plan, "4m" if changes else "40s", **changes)
    with pytest.raises(ArgumentError, match="too little for the least that says anything") as error:
        search(plan, registry, watcher, clock)
    assert "a run of softmax takes about 62 s" in str(error.value)
    assert f"Give more time (--budget {'10m' if changes else '4m'})" in str(error.value)
    assert ("even with 3 instead of 12 steps" in str(error.value)) == (not changes)
    assert [run.config.seconds is None for run in executor.runs] == [True, False], "short runs only"
    assert not Path(plan.folder).exists(), "nothing is left of a search that was refused"


def test_slow_trials_are_ended_before_they_leave_the_finals_no_time(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    planted(lambda config, moment: 400.0 if config.variant == "hyla" else 10.0, score=undecided)
    records, took = search(timed(make_plan, "5m", pruner="none"), registry, watcher, clock)
    slow = [record for record in records if record.config.variant == "hyla"]
    assert {record.status for record in slow} == {"pruned"}
    assert slow[0].reason.startswith("the time of the trials was over")
    assert purposes(records)["final"] >= 4
    assert took <= 300


def test_runs_that_would_end_too_late_are_put_aside_and_go_on(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    """The machine is ten times slower from the middle of the finals on."""
    begin = clock.now
    executor = planted(
        lambda config, moment: 100.0 if moment > begin + 250 else 10.0, score=undecided
    )
    plan = timed(make_plan, "5m")
    records, took = search(plan, registry, watcher, clock)
    assert 300 <= took <= 330
    [session] = read_sessions(Path(plan.folder)).sessions
    assert (session.aside, session.ended) == (2, "complete")
    assert watcher.messages[-1].endswith("; 2 runs put aside, to go on with more time")
    aside = watcher.configs[-2:]
    assert not {config.run_key() for config in aside} & {record.key for record in records}
    executor.restart()
    executor.seconds = lambda config, moment: 10.0
    same = timed(make_plan, "5m", trials=purposes(records)["trial"])  # so the same finalists
    again, _ = search(same, registry, watcher, clock, resume=True)
    assert {config.run_key() for config in aside} <= {record.key for record in again}
    check_everything_is_there(plan, purposes(again)["trial"])


def test_an_interrupted_session_says_what_it_spent(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    def stops(config: RunConfig) -> float:
        if len(executor.runs) == 8:
            raise KeyboardInterrupt
        return undecided(config)

    executor = planted(20.0, score=stops)
    plan = timed(make_plan, "10m")
    with pytest.raises(KeyboardInterrupt):
        search(plan, registry, watcher, clock)
    [session] = read_sessions(Path(plan.folder)).sessions
    assert (session.ended, session.trials) == ("interrupted", 4)
    assert session.spent > 20
    executor.score = undecided
    executor.restart()
    _, took = search(plan, registry, watcher, clock, resume=True)
    assert 540 <= took <= 600
    assert read_sessions(Path(plan.folder)).sessions[1].ended == "complete"


def test_drivers_that_join_share_one_time(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    """The second one comes when half of the time has passed, by the clock on the wall."""
    executor = planted(40.0, score=undecided)
    plan = timed(make_plan, "10m", join=True)
    search(plan, registry, watcher, clock)
    watcher.messages.clear()
    made = len(executor.runs)
    _, took = search(plan, registry, watcher, clock)
    left = next(text for text in watcher.messages if "other drivers began before" in text)
    assert left.endswith("of their time is left for all")
    assert took <= 600
    assert len(executor.runs) > made


def test_sizing_by_trials_measures_nothing(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted
) -> None:
    executor = planted(10.0, score=undecided)
    plan = make_plan(budget="5trials", trials=None)
    assert plan == make_plan(trials=5)
    run_search(plan, registry, watcher)
    assert len(executor.runs) == 5
    assert not watcher.messages
    assert not watcher.forecasts
    assert not (Path(plan.folder) / "budget.json").exists()
