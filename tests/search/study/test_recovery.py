"""Trials of drivers that have ended, and results that come late."""

from __future__ import annotations

from typing import Any

from attenergy.registry import Registry
from attenergy.search.planning.final_budget import FinalBudget
from attenergy.search.results.finals import Finals
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.study.attributes import RETRIED
from attenergy.search.study.finalist_queue import FinalistQueue
from attenergy.search.study.run import run_search
from attenergy.tasks import make_task
from tests.search.study.conftest import (
    ConfigMaker,
    PlanMaker,
    Play,
    done,
    in_own_folders,
    joined,
    recover_running,
)


def only(*runs: RunConfig) -> Finals:
    """One configuration over these seeds, without a race."""
    task = make_task(runs[0].task_spec)
    return Finals(runs[:1], None, len(runs), FinalBudget.read("none"), task)


def test_a_late_result_that_comes_first_counts_too(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    a, b = in_own_folders(make_plan(trials=3, variants=("softmax",)), "file", 2)
    with joined(a, registry, watcher) as (late, _), joined(b, registry, watcher) as (other, remote):
        taken = late.take()
        assert taken is not None
        config = taken.config
        recover_running(other)
        ended = late.end(taken, done(config))
        assert ended is not None
        assert ended.proposer == "default"
        assert f"run {config.run_key()} was taken for lost, but counts" in watcher.messages
        again = other.take()
        assert again is not None
        assert remote == [ended]
        assert again.config.config_hash() == config.config_hash()
        assert again.config.seed == config.seed + 1, "the same run is not done twice"
        other.end(again, done(again.config))
        last = late.take()
        assert last is not None
        late.end(last, done(last.config))
        assert late.take() is None
        assert other.take() is None
        assert len(other.recorded()) == len(late.recorded()) == 3
        assert late.remote_runs() == 0


def test_a_record_that_could_not_be_published_is_shared_later(
    registry: Registry, make_plan: PlanMaker, watcher: Any, play: Play
) -> None:
    """A driver dies between its record and the storage; another has long repeated the trial."""
    play(lambda config: [0.5])
    a, b = in_own_folders(make_plan(trials=4, variants=("softmax",)), "file", 2)
    with joined(b, registry, watcher) as (other, _):
        with joined(a, registry, watcher) as (dying, _):
            taken = dying.take()
            assert taken is not None
            record = done(taken.config).model_copy(update={"proposer": taken.proposer})
            dying.context.store.append(record)
        recover_running(other)
        records = run_search(a, registry, watcher)
        assert record in records
        assert other.take() is None
        recorded = {r.key: r for r in other.context.store.all()}
    assert recorded == {r.key: r for r in records}
    assert len(recorded) == 4


def test_a_trial_without_any_sign_of_life_is_lost(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    """As when a driver dies between asking for a trial and the first sign."""
    plan = make_plan(trials=2, variants=("softmax",), join=True)
    with joined(plan, registry, watcher) as (jobs, _):
        jobs.study.ask()
        with joined(plan, registry, watcher) as (other, _):
            assert other.take() is not None
            assert "trial 0 was interrupted; it is run again" in watcher.messages


def test_a_second_driver_that_dies_before_its_first_sign_of_life_is_noticed(
    registry: Registry, make_plan: PlanMaker, watcher: Any, make_config: ConfigMaker
) -> None:
    """The first had given signs for the same trial; those are not the second's."""
    plan = make_plan(trials=2, variants=("softmax",), join=True)
    with (
        joined(plan, registry, watcher) as (first, _),
        joined(plan, registry, watcher) as (last, _),
    ):
        context = first.context
        finals = FinalistQueue(context, only(make_config(seed=1000)), list[RunRecord]().append)
        again = FinalistQueue(last.context, only(make_config(seed=1000)), list[RunRecord]().append)
        for jobs, other in ((first, last), (finals, again)):
            taken = jobs.take()
            assert taken is not None
            context.heartbeat.remove(taken.trial)
            assert other.context.heartbeat.stale(other.study) == [], "it has given a sign"
            recover_running(other)
            second = other.study.ask()  # and here the second driver dies
            assert second.user_attrs[RETRIED] == taken.trial.number
            lost = other.context.heartbeat.stale(other.study)
            assert [trial.number for trial in lost] == [second.number]
            third = other.take()
            assert third is not None
            assert third.config == taken.config


def test_finalists_that_an_earlier_session_wanted_are_withdrawn(
    registry: Registry, make_plan: PlanMaker, watcher: Any, make_config: Any
) -> None:
    """More trials have found other winners; a driver that is alone runs these and no others."""
    configs = [make_config(seed=seed) for seed in (1000, 1001, 1002)]
    with joined(make_plan(), registry, watcher) as (trials, _):
        context, ignored = trials.context, list[RunRecord]()
        interrupted = FinalistQueue(context, only(*configs[:2]), ignored.append).take()
        assert interrupted is not None
        assert interrupted.config == configs[0]
        context.heartbeat.remove(interrupted.trial)
        queue = FinalistQueue(context, only(*configs[1:]), ignored.append)
        for wanted in configs[1:]:
            job = queue.take()
            assert job is not None
            assert job.config == wanted
            queue.end(job, done(job.config))
        assert queue.take() is None
        assert all(trial.state.is_finished() for trial in queue.study.trials)
        again = FinalistQueue(context, only(*configs), ignored.append).take()
        assert again is not None
        assert again.config == configs[0], "what was withdrawn can be wanted again"


def test_finalists_of_a_dead_driver_are_taken_over(
    registry: Registry, make_plan: PlanMaker, watcher: Any, make_config: Any
) -> None:
    plan = make_plan(join=True)
    configs = [make_config(seed=seed) for seed in (1000, 1001)]
    with joined(plan, registry, watcher) as (trials, _):
        context = trials.context
        context.store.append(done(configs[0]))
        jobs = FinalistQueue(context, only(*configs), list[RunRecord]().append)
        taken = jobs.take()
        assert taken is not None
        assert taken.config == configs[1], "the other is there already"
        assert jobs.take() is None
        assert jobs.remote_runs() == 0, "it is this driver's own"
        context.heartbeat.remove(taken.trial)
        assert jobs.remote_runs() == 1
        recover_running(jobs)
        again = FinalistQueue(context, only(*configs), list[RunRecord]().append)
        retry = again.take()
        assert retry is not None
        assert retry.config == configs[1]
        assert again.take() is None
        assert again.end(retry, done(retry.config)) is not None
        assert jobs.end(taken, done(taken.config, 0.4)) is None, "too late: it is recorded"
        assert again.remote_runs() == 0
        assert len(context.store.all()) == 2
