"""Under a budget in time trials pause, and the best of them go on before the finals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import Registry
from attenergy.search.budgets.session import PausePlan
from attenergy.search.budgets.sessions import Session, read_sessions
from attenergy.search.planning.command_line import command
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.config import RunConfig, RunRecord
from tests.search.budgets.conftest import Clock
from tests.search.budgets.test_search import search, timed, undecided
from tests.search.study.conftest import check_everything_is_there

PlanMaker = Callable[..., SearchPlan]
Planted = Callable[..., Any]
PHASE = "the best trials, to their ends"


def parts(records: list[RunRecord]) -> tuple[list[RunRecord], list[RunRecord], list[RunRecord]]:
    """Trials that paused, the best at their ends, finals."""
    trials = [record for record in records if record.purpose == "trial"]
    return (
        [record for record in trials if record.config.pause],
        [record for record in trials if not record.config.pause],
        [record for record in records if record.purpose == "final"],
    )


@pytest.mark.long
def test_a_search_of_ten_minutes(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    planted(lambda config, moment: 30.0 if config.variant == "hyla" else 20.0, score=undecided)
    plan = timed(make_plan, "10m", pause=None)
    records, took = search(plan, registry, watcher, clock)
    paused, whole, finals = parts(records)
    assert 0.9 * 600 <= took <= 570
    assert {record.config.pause for record in paused} == {6}, "the evaluation nearest to 3/8 of 12"
    assert len(paused) >= 50  # of 10 or 15 s, where whole trials would be about 30
    assert len(paused) / 8 <= len(whole) <= len(paused) / 8 + 3
    ends = {record.config.whole().run_key(): record for record in paused}
    assert {record.key for record in whole} <= ends.keys()
    assert {record.continued for record in whole} == {(6,)}
    scores = sorted((r.metrics["valid"]["accuracy"] for r in paused), reverse=True)
    best = {key for key, r in ends.items() if r.metrics["valid"]["accuracy"] >= scores[3]}
    assert best <= {record.key for record in whole}
    assert {"softmax", "linear", "hyla"} == {record.config.variant for record in whole}
    assert whole[0].config.variant == "softmax", "there are no finals without it"
    assert {record.config.pause for record in finals} == {None}
    assert {r.config_hash for r in finals} <= {r.config_hash for r in whole}
    assert 6 <= len(finals) <= 14  # two minutes, two at a time
    assert [name for name, _, _ in watcher.phases][:3] == ["trials", PHASE, "finalists"]
    expected = (
        r"about \d+ trials of 6 of 12 steps \(\d\d s each, .*\), the best of which go on, then"
    )
    assert re.search(expected, watcher.messages[1])

    [session] = read_sessions(Path(plan.folder)).sessions
    counts = (session.trials, session.survivors, session.finals)
    assert counts == (len(paused), len(whole), len(finals))
    assert f"{len(paused)} trials, {len(whole)} of the best to their ends, and " in session.sentence
    stored = json.loads((Path(plan.folder) / "plan.json").read_text())
    assert (stored["pause"], stored["survivors"]) == (0.375, 0.125)
    check_everything_is_there(plan, len(paused))


@pytest.mark.long
def test_it_goes_on_as_it_began(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    planted(20.0, score=undecided)
    first, _ = search(timed(make_plan, "3m", pause=None), registry, watcher, clock)
    # The second time is a number of trials, and says nothing of a pause.
    more = make_plan(trials=len(parts(first)[0]) + 4, finalists=2, seeds=2, matched=())
    second, _ = search(timed(make_plan, "3m", pause=None), registry, watcher, clock, resume=True)
    assert second[: len(first)] == first
    assert len(parts(second)[0]) > len(parts(first)[0])
    assert more.pause is None


@pytest.mark.long
def test_whole_trials_stay_whole(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    planted(20.0, score=undecided)
    search(timed(make_plan, "3m"), registry, watcher, clock)
    records, _ = search(timed(make_plan, "3m", pause=None), registry, watcher, clock, resume=True)
    assert not parts(records)[0]


@pytest.mark.long
def test_runs_that_are_evaluated_at_their_ends_alone_do_not_pause(
    registry: Registry, make_plan: PlanMaker, watcher: Any, planted: Planted, clock: Clock
) -> None:
    planted(10.0, score=undecided)
    plan = timed(make_plan, "3m", pause=None, fix={"evaluate_every": 12})
    records, took = search(plan, registry, watcher, clock)
    paused, whole, finals = parts(records)
    assert not paused
    assert len(whole) >= 12
    assert finals
    assert 0.9 * 180 <= took <= 171


@pytest.mark.parametrize(
    ("changes", "pause"),
    [
        ({"budget": "30m"}, 3 / 8),
        ({}, 0),
        ({"budget": "40trials"}, 0),
        ({"budget": "30m", "join": True}, 0),
        ({"budget": "30m", "pruner": "median"}, 0),
        ({"budget": "30m", "fairness": "seconds"}, 0),
        ({"budget": "30m", "fairness": "flops"}, 3 / 8),
    ],
)
def test_who_pauses_unasked(make_plan: PlanMaker, changes: Any, pause: float) -> None:
    plan = make_plan(**changes)
    assert plan.default_pause == pause
    assert "--pause" not in command(plan)
    assert "--pause" not in command(plan.model_copy(update={"pause": pause}))
    assert "--pause 0.5" in command(plan.model_copy(update={"pause": 0.5}))


def test_the_time_of_those_that_go_on() -> None:
    pauses = PausePlan(share=0.25, survivors=0.2, least=3)
    assert pauses.seconds(0, 10.0, 2) == 0
    assert pauses.seconds(2, 10.0, 2) == 30.0, "both"
    assert pauses.seconds(10, 10.0, 2) == 60.0, "three, two at a time"
    assert pauses.seconds(40, 10.0, 2) == 120.0


def test_what_a_session_says() -> None:
    session = Session(budget="3m", seconds=180, trials=9, survivors=2, spent=170)
    assert session.sentence == "budget 3m: 9 trials, 2 of the best to their ends in 2:50"


def test_the_pause_is_an_evaluation(make_config: Callable[..., RunConfig]) -> None:
    config = make_config(steps=100, evaluate_every=10)
    assert config.paused(3 / 8).pause == 40
    assert config.paused(0.01).pause == 10
    assert config.paused(0.99).pause is None, "nothing would be left of it"
    assert config.paused(3 / 8).last_step == 40
    assert config.paused(3 / 8).whole() == config
    assert config.paused(3 / 8).run_key() != config.run_key()
    assert config.paused(3 / 8).with_steps(200) == config.with_steps(200)
    assert make_config(steps=0).paused(0.5).pause is None
    assert config.model_copy(update={"seconds": 3.0}).paused(0.5).pause is None
