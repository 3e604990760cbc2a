"""Comparisons under a budget in time, with runs that take as long as planted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import ArgumentError, Registry
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.budgets.sessions import read_sessions
from attenergy.search.comparison.compare import ComparePlan, run_compare
from attenergy.search.comparison.multi_task import Comparison, run_multi_task
from attenergy.search.runs.config import RunConfig, RunRecord
from tests.search.budgets.conftest import Clock

Planted = Callable[..., Any]


def undecided(config: RunConfig) -> float:
    return 0.5 + random.Random(config.run_key()).gauss(0, 0.02)


def planned(tmp_path: Path, budget: str, **changes: Any) -> ComparePlan:
    fields = {"name": "c", "folder": str(tmp_path / "c"), "task": "tiny", "workers": 0}
    variants = ("softmax", "linear", "hyla")
    return ComparePlan.model_validate({**fields, "variants": variants, "budget": budget, **changes})


def compare(plan: ComparePlan, registry: Registry, watcher: Any, clock: Clock) -> Any:
    full = TimeBudget.of(plan.budget)
    assert full is not None
    begin = clock.now
    budget = TimeBudget(full.seconds, plan.budget or "", begin, clock)
    return run_compare(plan, registry, watcher, time_budget=budget), clock.now - begin


def seeds(records: list[RunRecord]) -> Counter[str]:
    return Counter(r.config.variant for r in records if r.purpose == "compare")


def test_a_race_has_the_whole_time(
    registry: Registry, watcher: Any, planted: Planted, clock: Clock, tmp_path: Path
) -> None:
    planted(10.0, score=undecided)
    plan = planned(tmp_path, "5m")
    records, took = compare(plan, registry, watcher, clock)
    assert 0.9 * 300 <= took <= 285
    assert min(seeds(records).values()) > 12, "more than without a budget"
    expected = (
        "budget 5m: about 14 seeds for each of 3 variants of 12 steps (13 s each, 2 at a time)"
    )
    assert expected in watcher.messages
    assert watcher.messages[-1] == f"budget 5m: {len(records)} runs of the finals in {_shown(took)}"
    [session] = read_sessions(Path(plan.folder)).sessions
    assert (session.trials, session.finals) == (0, len(records))


def _shown(seconds: float) -> str:
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"


def test_tuning_comes_first_and_the_first_seeds_are_as_many_as_fit(
    registry: Registry, watcher: Any, planted: Planted, clock: Clock, tmp_path: Path
) -> None:
    planted(10.0, score=undecided)
    plan = planned(tmp_path, "150s", tune={"weight_decay": (0.0, 0.1)})
    records, took = compare(plan, registry, watcher, clock)
    assert Counter(record.purpose for record in records)["trial"] == 6
    assert took <= 150
    assert min(seeds(records).values()) >= 5
    again, _ = compare(plan, registry, watcher, clock)
    assert again[:6] == records[:6]
    assert len(again) > len(records), "the same command has the time once more"


def test_exactly_so_many_seeds_unless_the_time_ends_them(
    registry: Registry, watcher: Any, planted: Planted, clock: Clock, tmp_path: Path
) -> None:
    planted(10.0, score=undecided)
    records, took = compare(planned(tmp_path, "10m", seeds=3), registry, watcher, clock)
    assert set(seeds(records).values()) == {3}
    assert took < 60
    records, took = compare(planned(tmp_path, "1m", seeds=40), registry, watcher, clock)
    assert took <= 60
    assert 3 <= min(seeds(records).values()) < 40


def test_a_comparison_that_does_not_fit_is_shortened_or_refused(
    registry: Registry, watcher: Any, planted: Planted, clock: Clock, tmp_path: Path
) -> None:
    planted(lambda config, moment: 5.0 * config.training.steps, slots=1, score=undecided)
    records, took = compare(planned(tmp_path, "5m"), registry, watcher, clock)
    [steps] = {record.config.training.steps for record in records}
    assert 3 <= steps < 12
    assert took <= 300
    again, _ = compare(planned(tmp_path, "5m"), registry, watcher, clock)
    assert {record.config.training.steps for record in again} == {steps}
    # Without a clock it goes on with the steps that it has.
    more = planned(tmp_path, "5m", seeds=4).model_copy(update={"budget": None})
    whole = run_compare(more, registry, watcher)
    assert {record.config.training.steps for record in whole} == {steps}
    assert set(seeds(whole).values()) == {4}
    other = planned(tmp_path, "5m", folder=str(tmp_path / "other"), steps=12)
    with pytest.raises(ArgumentError, match="two seeds of 3 variants: a run of softmax takes"):
        compare(other, registry, watcher, clock)
    assert not (tmp_path / "other").exists()


@pytest.mark.long
def test_several_tasks_share_the_time(
    registry: Registry, watcher: Any, planted: Planted, clock: Clock, tmp_path: Path
) -> None:
    planted(10.0, score=undecided)
    parts = [Comparison(name, "tiny", {}) for name in ("one", "two")]
    plan, begin = planned(tmp_path, "6m"), clock.now
    budget = TimeBudget(360, "6m", begin, clock)
    run_multi_task(plan, parts, registry, lambda plan: nullcontext(watcher), budget)
    assert 0.9 * 360 <= clock.now - begin <= 360
    spent = [read_sessions(tmp_path / "c" / name).sessions[0].spent for name in ("one", "two")]
    assert spent == pytest.approx([172, 172], abs=12)
