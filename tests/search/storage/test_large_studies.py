"""What a driver reads of a study, and what samplers see, however many trials there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState

from attenergy.registry import Registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.samplers import SAMPLERS
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.records import RunStore, read_records
from attenergy.search.storage.database import UnreadableRows
from attenergy.search.storage.optuna_private import study_id
from attenergy.search.storage.trial_index import TrialBrief, TrialIndex, attribute_values
from attenergy.search.storage.window import SamplerWindow
from attenergy.search.study.attributes import RUN
from attenergy.search.study.run import run_search
from tests.search.study.conftest import done, joined

pytestmark = pytest.mark.long  # whole searches or processes

PlanMaker = Callable[..., SearchPlan]


def score(config: RunConfig) -> list[float]:
    return [0.5 - 10 * abs(config.training.learning_rate - 3e-3)]


@contextmanager
def window(sampler: str, size: int | None) -> Iterator[None]:
    row = SAMPLERS[sampler]
    SAMPLERS[sampler] = replace(row, window=size)
    try:
        yield
    finally:
        SAMPLERS[sampler] = row


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the trials that are read whole."""
    numbers = list[int]()
    original = RDBStorage._build_frozen_trial_from_trial_model

    def counted(self: RDBStorage, trial: Any) -> Any:
        numbers.append(trial.number)
        return original(self, trial)

    monkeypatch.setattr(RDBStorage, "_build_frozen_trial_from_trial_model", counted)
    return numbers


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_window_that_holds_all_changes_no_proposal(
    sampler: str,
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Callable[..., None],
) -> None:
    play(score)
    keys = []
    for name, size in (("all", None), ("window", 500)):
        with window(sampler, size):
            plan = make_plan(trials=16, sampler=sampler, finalists=0)
            plan = plan.model_copy(update={"folder": f"{plan.folder}{name}"})
            keys.append([record.key for record in run_search(plan, registry, watcher)])
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 16


def test_a_driver_reads_no_more_of_a_longer_study(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    play: Callable[..., None],
    built: list[int],
) -> None:
    play(score)
    with window("tpe", 6):
        plan = make_plan(trials=8, finalists=0)
        run_search(plan, registry, watcher)
        per_trial = []
        for trials in (18, 28):
            built.clear()
            plan = plan.model_copy(update={"trials": trials})
            run_search(plan, registry, watcher, resume=True)
            per_trial.append(len(built) / 10)
        assert per_trial[1] <= per_trial[0], "in proportion to the trials that are new"
        built.clear()
        run_search(plan, registry, watcher, resume=True)
        assert len(built) <= 6, "none is read whole to see that all is done"


def test_the_window_holds_the_best_and_the_latest(quiet: None) -> None:
    storage = RDBStorage("sqlite://")
    study = optuna.create_study(storage=storage, directions=["maximize"])
    for number in range(30):
        study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.FAIL if number == 29 else TrialState.COMPLETE,
                values=None if number == 29 else [100.0 if number == 3 else number % 7],
            )
        )
    index = TrialIndex(storage, study_id(study), (), "variant")
    chosen = SamplerWindow(storage, study_id(study), 10, [StudyDirection.MAXIMIZE])
    chosen.add(index.refresh())
    running = study.ask()
    numbers = [trial.number for trial in chosen.trials([running._trial_id])]
    assert numbers == [3, 6, 21, 22, 23, 24, 25, 26, 27, 28, running.number]
    again = SamplerWindow(storage, study_id(study), 30, [StudyDirection.MAXIMIZE])
    again.add(index.trials.values())
    assert [trial.number for trial in again.trials([])] == list(range(29)), "all that have a score"


def test_each_of_several_objectives_has_its_best() -> None:
    chosen = SamplerWindow(
        RDBStorage("sqlite://"), 1, 10, [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    )
    chosen.add(
        TrialBrief(key, key, TrialState.COMPLETE, values={0: -abs(key - 5.0), 1: abs(key - 8.0)})
        for key in range(40)
    )
    assert chosen.chosen() == {5, 8, *range(32, 40)}


def test_the_index_reads_what_has_changed(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=4, variants=("softmax",), join=True)
    with joined(plan, registry, watcher) as (queue, _):
        index = TrialIndex(queue.context.storage, study_id(queue.study), (RUN,), "variant")
        assert index.refresh() == []
        before = len(index.trials)
        first, second = queue.take(), queue.take()
        assert first is not None
        assert second is not None
        assert index.refresh() == []
        assert {trial.state for trial in index.still_open()} == {TrialState.RUNNING}
        queue.end(second, done(second.config, 0.25))
        (ended,) = index.refresh()
        assert ended.number == second.trial.number
        assert (ended.state, ended.values) == (TrialState.COMPLETE, {0: 0.25})
        assert ended.parameter == "softmax"
        assert ended.attributes == {RUN: second.config.run_key()}
        queue.end(first, done(first.config))
        assert [trial.number for trial in index.refresh()] == [first.trial.number]
        assert index.refresh() == []
        assert len(index.trials) >= max(before, 2)
        runs = attribute_values(queue.context.storage, study_id(queue.study), RUN)
        assert list(runs.values()) == [first.config.run_key(), second.config.run_key()]
        (key, *_) = runs
        some = attribute_values(queue.context.storage, study_id(queue.study), RUN, [key])
        assert list(some.values()) == [first.config.run_key(), None]


def test_a_row_that_no_search_has_written_is_told(quiet: None) -> None:
    storage = RDBStorage("sqlite://")
    study = optuna.create_study(storage=storage)
    study.ask().set_user_attr(RUN, "a")
    with storage.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE trial_user_attributes SET value_json = '{'")
        connection.commit()
    with pytest.raises(UnreadableRows):
        TrialIndex(storage, study_id(study), (RUN,), "variant").refresh()


def test_records_share_what_they_have_in_common(make_config: Any, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    records = [done(make_config(seed=seed)) for seed in range(3)]
    other = make_config(seed=3)
    training = other.training.model_copy(update={"learning_rate": 0.5})
    records.append(done(other.model_copy(update={"training": training})))
    for record in records:
        store.append(RunRecord.model_validate_json(record.model_dump_json(by_alias=True)))
    for given in (store.all(), RunStore(tmp_path).all(), read_records(tmp_path)):
        assert given == records
        first, second, _, fourth = (record.config for record in given)
        assert first.layer is second.layer is fourth.layer
        assert first.training is second.training
        assert fourth.training.learning_rate == 0.5
