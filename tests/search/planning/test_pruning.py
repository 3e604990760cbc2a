"""Runs are given up when they are bad, not when they are late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from attenergy.registry import Registry
from attenergy.search.engines.process_pool import ProcessPool
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.pruners import (
    PRUNERS,
    HalvingPruner,
    MedianPruner,
    Pruner,
    PruningListener,
)
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.storage.database import latest, open_storage
from attenergy.search.study.run import run_search

ConfigMaker = Callable[..., RunConfig]
PlanMaker = Callable[..., SearchPlan]

STEPS = (250, 500, 750, 1000, 1250, 1500)
CHANCE = 1 / 128
SOLVED = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
# Measured on stacked recall (width 16, 64 pairs): two steps of log-sum-exp leave chance late.
LATE = (0.008, 0.016, 1.0, 1.0, 1.0, 1.0)


@pytest.fixture
def make(make_config: ConfigMaker) -> Callable[..., RunConfig]:
    def of(seed: int, prune_after: float = 0.5) -> RunConfig:
        return make_config(seed=seed, steps=1500, valid_instances=512, prune_after=prune_after)

    return of


def feed(pruner: Pruner, config: RunConfig, scores: Sequence[float]) -> dict[int, str]:
    """Play a curve; return the verdict at each step."""
    pruner.begin(config)
    return {
        step: pruner.judge(config.run_key(), {"step": step, "accuracy": score})
        for step, score in zip(STEPS, scores, strict=False)
    }


def end_of(verdicts: dict[int, str]) -> int | None:
    return next((step for step, reason in verdicts.items() if reason), None)


@pytest.mark.parametrize("kind", [MedianPruner, HalvingPruner])
def test_a_curve_that_jumps_late_is_spared_and_a_plain_pruner_would_end_it(
    make: Callable[..., RunConfig], kind: type[Pruner]
) -> None:
    pruner = kind("accuracy", CHANCE)
    for seed in range(6):
        assert end_of(feed(pruner, make(seed), SOLVED)) is None
    assert end_of(feed(pruner, make(6), LATE)) is None

    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(5))
    for scores in (*[SOLVED] * 6, LATE):
        trial = study.ask()
        for step, score in zip(STEPS, scores, strict=True):
            trial.report(score, step)
            if trial.should_prune():
                break
        study.tell(trial, score)
    assert study.trials[-1].last_step == 250


@pytest.mark.parametrize("kind", [MedianPruner, HalvingPruner])
def test_a_run_that_goes_on_is_judged_as_if_it_had_not_been_broken_off(
    make: Callable[..., RunConfig], kind: type[Pruner]
) -> None:
    scores = (0.1, 0.2, 0.3, 0.4, 0.4, 0.4)
    whole, resumed = kind("accuracy", CHANCE), kind("accuracy", CHANCE)
    for pruner in (whole, resumed):
        for seed in range(6):
            feed(pruner, make(seed), SOLVED)
    config = make(6)
    verdicts = feed(whole, config, scores)
    listener = PruningListener(Listener(), resumed, lambda *_: None, lambda _: False)
    listener.started(config)
    points = [{"step": s, "accuracy": x} for s, x in zip(STEPS, scores, strict=True)]
    listener.continued(config.run_key(), 1100, points[:4])
    assert resumed.curves[config.run_key()].scores == list(scores[:4])
    assert {
        step: resumed.judge(config.run_key(), point)
        for step, point in zip(STEPS[4:], points[4:], strict=True)
    } == {step: verdicts[step] for step in STEPS[4:]}
    assert end_of(verdicts) is not None


@pytest.mark.parametrize("kind", [MedianPruner, HalvingPruner])
def test_patience_with_a_curve_at_chance_ends(
    make: Callable[..., RunConfig], kind: type[Pruner]
) -> None:
    pruner = kind("accuracy", CHANCE)
    for seed in range(6):
        feed(pruner, make(seed), SOLVED)
    at_chance = (0.008, 0.016, 0.012, 0.014, 0.011, 0.01)
    assert end_of(feed(pruner, make(6), at_chance)) == 1250, "three quarters and not before"
    assert end_of(feed(pruner, make(7, prune_after=0.1), at_chance)) == 1000, "at (1 + .1)/2"
    assert end_of(feed(pruner, make(8, prune_after=1.0), at_chance)) is None


@pytest.mark.parametrize("kind", [MedianPruner, HalvingPruner])
@pytest.mark.parametrize(("jump", "end"), [(0.70, None), (0.75, None), (0.80, 1125)])
def test_a_jump_is_awaited_until_half_of_the_rest_is_over(
    make: Callable[..., RunConfig], kind: type[Pruner], jump: float, end: int | None
) -> None:
    pruner = kind("accuracy", CHANCE)
    for seed in range(6):
        feed(pruner, make(seed), SOLVED)
    late = make(6)
    pruner.begin(late)
    verdicts = {
        step: pruner.judge(
            late.run_key(), {"step": step, "accuracy": 1.0 if step >= jump * 1500 else 0.008}
        )
        for step in range(75, 1501, 75)
    }
    assert end_of(verdicts) == end


def test_the_median_rule_by_hand(make: Callable[..., RunConfig]) -> None:
    pruner = MedianPruner("accuracy", CHANCE)
    for seed, height in enumerate((0.5, 0.6, 0.7, 0.8)):
        feed(pruner, make(seed), [height] * 6)
    assert end_of(feed(pruner, make(4), [0.3] * 6)) is None, "four others are too few"
    bad = feed(pruner, make(5), [0.45] * 6)
    assert end_of(bad) == 750
    assert bad[750] == (
        "after 50% of its training accuracy 0.450 is below 0.600, the median of 5 runs"
    )
    assert end_of(feed(pruner, make(6), [0.9] * 2 + [0.1] * 4)) is None, "its best score counts"
    climbing = (0.1, 0.2, 0.3, 0.4, 0.5, 0.55)
    assert end_of(feed(pruner, make(7), climbing)) is None
    assert end_of(feed(pruner, make(8), (*climbing[:3], 0.31, 0.31, 0.31))) == 1000


def test_rungs_by_hand(make: Callable[..., RunConfig]) -> None:
    pruner = HalvingPruner("accuracy", CHANCE)
    quarter = {"prune_after": 1 / 6}  # rungs at 250, 500 and 1000
    ends = [
        end_of(feed(pruner, make(seed, **quarter), [height] * 6))
        for seed, height in enumerate((0.5, 0.6, 0.4, 0.7, 0.52))
    ]
    # The first point of a curve climbs from nothing, so the first rung is judged at the second.
    assert ends == [None, None, 500, None, 500]
    fallen = feed(pruner, make(9, **quarter), (0.65, 0.65, 0.65, 0.65, 0.65, 0.65))
    assert end_of(fallen) is None
    assert PRUNERS["none"]("accuracy", CHANCE) is None


def test_failed_runs_and_first_tries_are_no_measure(make: Callable[..., RunConfig]) -> None:
    pruner = MedianPruner("accuracy", CHANCE)
    for seed in range(5):
        feed(pruner, make(seed), SOLVED)
        pruner.forget(make(seed).run_key())
    assert end_of(feed(pruner, make(5), [0.3] * 6)) is None
    feed(pruner, make(6), [0.9, 0.9, 0.9])
    assert pruner.curves[make(6).run_key()].shares[-1] == 0.5
    pruner.judge(make(6).run_key(), {"step": 250, "accuracy": 0.1})
    assert pruner.curves[make(6).run_key()].scores == [0.1], "its worker died, it began anew"


def test_pruned_runs_are_a_measure_as_far_as_they_came(make: Callable[..., RunConfig]) -> None:
    """Kept by the pruner of this session, and by that of the next; failed and diverged are not."""
    statuses = ("complete", "complete", "pruned", "pruned", "failed", "diverged")
    records = [
        RunRecord(
            key=make(seed).run_key(),
            config_hash=make(seed).config_hash(),
            config=make(seed),
            status=status,  # type: ignore[arg-type]
            curve=[
                {"step": step, "accuracy": 0.5 + seed / 10}
                for step in (STEPS[:3] if status == "pruned" else STEPS)
            ],
        )
        for seed, status in enumerate(statuses)
    ]
    known = [record.key for record in records[:4]]
    next_session = MedianPruner("accuracy", CHANCE)
    next_session.remember(records)
    this_session = MedianPruner("accuracy", CHANCE)
    listener = PruningListener(Listener(), this_session, lambda *_: None, lambda _: False)
    for record in records:
        listener.started(record.config)
        for point in record.curve:
            listener.evaluated(record.key, point)
        listener.finished(record)
    for pruner in (next_session, this_session):
        assert list(pruner.curves) == known
        assert sorted(pruner._others("", 0.5)) == pytest.approx([0.5, 0.6, 0.7, 0.8])
        assert sorted(pruner._others(known[0], 0.6)) == [0.6], "the pruned did not come so far"


@pytest.mark.parametrize(("others", "end"), [(0, None), (1, None), (2, 500), (3, 500)])
def test_halving_needs_two_others(
    make: Callable[..., RunConfig], others: int, end: int | None
) -> None:
    pruner = HalvingPruner("accuracy", CHANCE)
    for seed in range(others):
        feed(pruner, make(seed, prune_after=1 / 4), [0.8] * 6)
    assert end_of(feed(pruner, make(9, prune_after=1 / 4), [0.3] * 6)) == end
    assert MedianPruner.others_needed == 5


def test_seconds_are_a_share_too(make: Callable[..., RunConfig]) -> None:
    pruner = MedianPruner("accuracy", CHANCE)
    for seed in range(6):
        feed(pruner, make(seed), SOLVED)
    timed = make(7).model_copy(update={"seconds": 10.0})
    pruner.begin(timed)
    early = {"step": 1400, "seconds": 4.0, "accuracy": 0.4}
    late = {"step": 1500, "seconds": 6.0, "accuracy": 0.4}
    assert pruner.judge(timed.run_key(), early) == ""
    assert pruner.judge(timed.run_key(), late).startswith("after 60% of its training")


def height(config: RunConfig) -> float:
    return {"softmax": 0.6, "linear": 0.3, "hyla": 0.9}[config.variant] - config.seed / 1e4


@pytest.mark.long
@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_a_search_with_a_pruner(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Callable[..., None],
    pruner: str,
) -> None:
    play(lambda config: [height(config)] * 4)
    plan = make_plan(trials=24, finalists=9, sampler="random", pruner=pruner)
    records = run_search(plan, registry, watcher)
    trials = [r for r in records if r.purpose == "trial"]
    pruned = [r for r in trials if r.status == "pruned"]
    assert len(trials) == 24
    assert pruned
    assert all(r.config.variant != "hyla" for r in pruned)
    assert all(r.status == "complete" for r in trials if r.proposer == "default")
    assert not {r.config_hash for r in pruned} & {r.config_hash for r in records[24:]}
    by_key = {r.key: r for r in trials}
    for trial in _trials(plan):
        record = by_key[trial.user_attrs["run"]]
        given_up = record.status == "pruned"
        assert trial.state == (TrialState.PRUNED if given_up else TrialState.COMPLETE)
        assert trial.value == record.metrics["valid"]["accuracy"]
        assert trial.user_attrs.get("reason", "") == record.reason
    more = plan.model_copy(update={"trials": 26})
    again = run_search(more, registry, watcher, resume=True)
    assert again[: len(records)] == records


@pytest.mark.long
def test_several_objectives_are_pruned_by_the_metric(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Callable[..., None]
) -> None:
    play(lambda config: [height(config)] * 4)
    objectives = ("accuracy", "flops")
    plan = make_plan(trials=20, finalists=2, pruner="median", objectives=objectives)
    records = run_search(plan, registry, watcher)
    pruned = {r.key for r in records if r.status == "pruned"}
    assert pruned
    for trial in _trials(plan):
        assert (trial.state == TrialState.FAIL) == (trial.user_attrs["run"] in pruned)
    finals = [r.config for r in records if r.purpose == "final"]
    # The best score, and the best score among the cheapest; then the baseline.
    assert ("hyla", 2) in {(config.variant, config.model.heads) for config in finals}
    assert [c.variant for c in finals].count("softmax") == 1


class Stopper(Listener):
    """Ends a run at its first evaluation."""

    def __init__(self, pool: ProcessPool) -> None:
        self.pool = pool

    def evaluated(self, key: str, point: dict[str, float]) -> None:
        self.pool.stop(key, f"enough at step {point['step']}")

    def finished(self, record: RunRecord) -> None: ...


@pytest.mark.long
def test_a_worker_stops_a_run_and_goes_on(make_config: ConfigMaker, tmp_path: Path) -> None:
    long = make_config(steps=400, evaluate_every=20)
    with ProcessPool(1, tmp_path) as pool:
        pool.submit(long, "trial")
        pruned = pool.wait(Stopper(pool))
        pool.submit(make_config(evaluate_every=12), "trial")
        whole = pool.wait(Stopper(pool))  # its only evaluation is its end: the stop is too late
        pool.submit(make_config(seed=1), "trial")
        untouched = pool.wait(Listener())
    assert (pruned.status, pruned.reason) == ("pruned", "enough at step 20")
    assert 20 <= pruned.curve[-1]["step"] < 400
    assert set(pruned.metrics) == {"valid"}
    assert not pruned.weights
    assert whole.status == untouched.status == "complete"


def _trials(plan: SearchPlan) -> list[optuna.trial.FrozenTrial]:
    with open_storage(plan) as storage:
        study, _ = latest(storage, plan)
        assert study is not None
        return study.get_trials()
