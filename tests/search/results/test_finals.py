"""Finals that go on until they are decided: alone, interrupted, and shared among drivers."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from attenergy.registry import Registry
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.results.finals import Finals
from attenergy.search.results.sequential import least_seeds
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.records import RunStore
from attenergy.search.study import finalist_queue, queue
from attenergy.search.study.run import run_search
from attenergy.tasks import make_task
from tests.search.study.conftest import (
    STORAGES,
    PlanMaker,
    Play,
    check_everything_is_there,
    in_own_folders,
    run_together,
)

pytestmark = pytest.mark.long  # whole searches or processes

VARIANTS = ("softmax", "linear", "hyla")


def planted(config: RunConfig) -> list[float]:
    """`hyla` is far better than `softmax`, `linear` equal to it but for luck."""
    noise = random.Random(config.run_key()).gauss(0, 0.02)
    return [(0.9 if config.variant == "hyla" else 0.5) + noise]


def planned(make_plan: PlanMaker, **changes: Any) -> SearchPlan:
    fields = {"trials": 3, "variants": VARIANTS, "finalists": 3, "seeds": 2, "matched": ()}
    return make_plan(**{**fields, "final_budget": "60runs", **changes})


def seeds_of(records: list[RunRecord]) -> Counter[str]:
    return Counter(record.config.variant for record in records if record.purpose == "final")


def test_seeds_go_to_whoever_is_undecided_until_the_budget_is_spent(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    play(planted)
    records = run_search(planned(make_plan, final_budget="30runs"), registry, watcher)
    seeds = seeds_of(records)
    assert seeds["hyla"] == least_seeds(2), "it is decided by then"
    assert seeds["linear"] == seeds["softmax"] > 8
    assert 29 <= sum(seeds.values()) <= 30
    names = [name for name, _, _ in watcher.phases]
    assert names[:3] == ["trials", "finalists", "finals, seeds 3 to 7: hyla, linear (undecided)"]
    assert names[3] == "finals, seed 8: linear (undecided)"
    assert watcher.phases[2][1:] == (6, 21)
    assert watcher.messages == [
        f"the finals end after {sum(seeds.values())} runs, with the budget spent; undecided: linear"
    ]


@pytest.mark.parametrize(
    ("changes", "each"),
    [
        ({"final_budget": "none"}, 2),
        ({"final_budget": "5runs"}, 2),  # the first round is played in any case
        ({"variants": ("softmax", "hyla"), "finalists": 1}, least_seeds(1)),
        ({"variants": ("softmax",), "finalists": 1}, 2),
    ],
)
def test_a_race_ends_when_there_is_nothing_to_decide(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Play,
    changes: dict[str, Any],
    each: int,
) -> None:
    play(planted)
    seeds = seeds_of(run_search(planned(make_plan, **changes), registry, watcher))
    assert set(seeds.values()) == {each}


def test_nobody_learned_and_the_race_ends(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    play(lambda config: [0.25 + random.Random(config.run_key()).gauss(0, 0.02)])  # chance is 1/4
    seeds = seeds_of(run_search(planned(make_plan), registry, watcher))
    assert set(seeds.values()) == {2}
    assert "nobody is much above chance" in watcher.messages[-1]


def test_a_larger_budget_goes_on_and_trains_nothing_again(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    play(planted)
    plan = planned(make_plan, final_budget="23runs")
    before = run_search(plan, registry, watcher)
    more = plan.model_copy(update={"final_budget": "33runs"})
    records = run_search(more, registry, watcher, resume=True)
    assert records[: len(before)] == before
    assert 32 <= sum(seeds_of(records).values()) <= 33
    check_everything_is_there(more, 3)
    assert run_search(more, registry, watcher, resume=True) == records, "nothing left to do"


@pytest.mark.parametrize(
    "after", [13, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 8, 22, 24))]
)
def test_an_interrupted_race_ends_as_if_it_had_not_been(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play, after: int
) -> None:
    """Scores go by the run alone, so both have the same runs: none is lost, none is extra."""
    play(planted)
    plan = planned(make_plan, final_budget="26runs")
    whole = run_search(plan.model_copy(update={"folder": f"{plan.folder}w"}), registry, watcher)
    left = after

    class Stop(type(watcher)):  # type: ignore[misc]
        def finished(self, record: RunRecord) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(plan, registry, Stop())
    assert len(RunStore(plan.folder).all()) == after
    records = run_search(plan, registry, watcher, resume=True)
    assert {record.key for record in records} == {record.key for record in whole}


def test_a_record_that_was_lost_is_made_again(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    play(planted)
    plan = planned(make_plan, final_budget="23runs")
    records = run_search(plan, registry, watcher)
    path = Path(plan.folder) / "records.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:5] + lines[6:]))
    again = run_search(plan, registry, watcher, resume=True)
    assert {record.key for record in again} == {record.key for record in records}


class Killed(BaseException):
    """Stands for a kill at this very place."""


@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [
        (finalist_queue, "finalist_attributes", False),  # in the middle of offering a round
        (RunStore, "append", True),
        pytest.param(optuna.Study, "ask", True, marks=pytest.mark.slow),  # trials try it, too
        pytest.param(queue, "tell_record", True, marks=pytest.mark.slow),
    ],
)
def test_a_driver_killed_in_a_round_leaves_nothing_behind(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Play,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    after: bool,
) -> None:
    play(planted)
    plan = planned(make_plan, final_budget="23runs")
    left, function = 14, getattr(owner, name)

    def killed(*args: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        result = function(*args, **options) if left or after else None
        if not left:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        with pytest.raises(Killed):
            run_search(plan, registry, watcher)
    seeds = seeds_of(run_search(plan, registry, watcher, resume=True))
    assert seeds == {"softmax": 8, "linear": 8, "hyla": least_seeds(2)}
    check_everything_is_there(plan, 3)


@pytest.mark.parametrize("storage", STORAGES)
def test_drivers_share_the_rounds(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play, storage: str
) -> None:
    play(planted)
    plans = in_own_folders(planned(make_plan, final_budget="30runs"), storage, 2)
    watchers = [watcher, type(watcher)()]
    run_together(plans, registry, watchers)
    for plan in plans:
        seeds = seeds_of(RunStore(plan.folder).all())
        assert seeds["hyla"] == least_seeds(2)
        assert 29 <= sum(seeds.values()) <= 30
        assert len(list(Path(plan.folder).glob("records.jsonl"))) == 1
    done = [sum(c.seed >= 1000 for c in each.configs) for each in watchers]
    assert sum(done) == sum(seeds.values()), "no run is done twice"


def test_minutes_are_those_of_this_session_and_rounds_are_cut_to_them(
    registry: Registry, make_plan: PlanMaker, make_config: Any
) -> None:
    """Runs take 10 s, two at a time: 60 s pay for twelve; after 30, for six."""
    now = 1000.0
    configs = [make_config(variant, seed=1000) for variant in VARIANTS]
    task = make_task(configs[0].task_spec)
    budget = FinalBudget.read("1m")
    finals = Finals(configs, configs[0], 2, budget, task, slots=2, clock=lambda: now)
    records = [timed(config, 10.0) for config in finals.first_round]
    assert len(finals.next(records).runs) == 10, "so many take one contender to the seventh seed"
    assert len(finals.next(records[:-1]).runs) == 1, "the first round is whole in any case"
    now += 30.0
    assert len(finals.next(records).runs) == 6
    now += 31.0
    assert finals.next(records).runs == []
    assert "with the budget spent; undecided: linear, hyla" in finals.next(records).end


def timed(config: RunConfig, seconds: float) -> RunRecord:
    score = planted(config)[0]
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status="complete",
        metrics={"valid": {"accuracy": score}},
        cost={"seconds": seconds},
        purpose="final",
    )
