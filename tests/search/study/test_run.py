"""A search from end to end, and what it refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from attenergy.registry import Registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.storage.database import open_storage, url_of
from attenergy.search.storage.study_lock import study_lock
from attenergy.search.study.run import StudyBusy, StudyExists, StudyMismatch, run_search
from tests.search.study.conftest import check_everything_is_there, trials_of

pytestmark = pytest.mark.long  # whole searches or processes

PlanMaker = Callable[..., SearchPlan]


def test_a_search_from_end_to_end(registry: Registry, make_plan: PlanMaker, watcher: Any) -> None:
    plan = make_plan(trials=6, finalists=2, seeds=2)
    records = run_search(plan, registry, watcher)
    check_everything_is_there(plan, 6)
    assert [r.purpose for r in records[:6]] == ["trial"] * 6
    assert all(r.purpose == "final" and r.config.seed in (1000, 1001) for r in records[6:])
    assert [r.config.variant for r in records[:3]] == ["softmax", "linear", "hyla"]

    first = records[0].config
    assert (first.variant, first.model.heads, first.training.learning_rate) == ("softmax", 2, 3e-3)

    means = sorted(r.metrics["valid"]["accuracy"] for r in records[:6])
    finalists = {r.config_hash for r in records[6:]}
    chosen = [r for r in records[:6] if r.config_hash in finalists]
    baselines = [r for r in records[:6] if r.config.variant == "softmax"]
    best = max(r.metrics["valid"]["accuracy"] for r in baselines)
    assert best in {r.metrics["valid"]["accuracy"] for r in chosen if r in baselines}
    assert all(r.metrics["valid"]["accuracy"] >= means[-2] for r in chosen if r not in baselines)

    assert watcher.phases == [("trials", 0, 6), ("finalists", 0, 2 * len(finalists))]
    assert watcher.records == records
    assert [c.run_key() for c in watcher.configs] == [r.key for r in records]
    for record in records:
        assert (Path(plan.folder) / record.weights).is_file()
    stored = SearchPlan.model_validate_json((Path(plan.folder) / "plan.json").read_text())
    assert stored == plan


def test_a_search_that_was_stopped_goes_on_within_its_run(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    class Stopping(type(watcher)):  # type: ignore[misc]
        """Stops the search when a run comes to its second evaluation."""

        def evaluated(self, key: str, point: dict[str, float]) -> None:
            if len(self.records) == 1 and point["step"] == 12:
                raise KeyboardInterrupt

    plan = make_plan(trials=3, checkpoint_seconds=1e-9, variants=("softmax", "linear"))
    place = plan.checkpoints(Path(plan.folder)).folder
    with pytest.raises(KeyboardInterrupt):
        run_search(plan, registry, Stopping())
    (left,) = place.iterdir()
    (place / f"{'0' * 16}.safetensors").touch()  # of whatever: it is nobody's business
    records = run_search(plan, registry, watcher, resume=True)
    assert [bool(record.continued) for record in records] == [False, True, False]
    assert left.stem == records[1].key
    assert [key for key, _, _ in watcher.continuations] == [records[1].key]
    assert [path.stem for path in place.iterdir()] == ["0" * 16]
    check_everything_is_there(plan, 3)


def test_finalists_may_train_longer(registry: Registry, make_plan: PlanMaker, watcher: Any) -> None:
    plan = make_plan(trials=2, finalists=1, seeds=2, train_steps=4, final_steps=8)
    records = run_search(plan, registry, watcher)
    assert [r.config.training.steps for r in records[:2]] == [4, 4]
    assert {r.config.training.steps for r in records[2:]} == {8}
    seeds = Counter(r.config.seed for r in records[2:])
    assert set(seeds) == {1000, 1001}
    assert seeds[1000] == seeds[1001] == len({r.config_hash for r in records[2:]})


def test_a_repeated_configuration_becomes_another_seed(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    registry.spaces["tiny"].clear()
    plan = make_plan(trials=7, variants=("linear",), train_steps=2, finalists=1)
    records = run_search(plan, registry, watcher)
    check_everything_is_there(plan, 7)
    seeds: dict[str, list[int]] = {}
    for record in records[:7]:
        seeds.setdefault(record.config.variant, []).append(record.config.seed)
    assert set(seeds) <= {"linear", "softmax"}
    for used in seeds.values():
        assert used == list(range(len(used)))


def test_a_search_is_repeatable(
    registry: Registry, make_plan: PlanMaker, watcher: Any, tmp_path: Path
) -> None:
    scores = []
    for name in ("a", "b"):
        records = run_search(make_plan(folder=str(tmp_path / name)), registry, watcher)
        scores.append([(r.key, r.metrics) for r in records])
    assert scores[0] == scores[1]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_going_on_does_not_repeat_the_first_draws(
    registry: Registry, make_plan: PlanMaker, watcher: Any, sampler: str
) -> None:
    plan = make_plan(trials=6, sampler=sampler, train_steps=2)  # three defaults, three draws
    before = run_search(plan, registry, watcher)
    more = plan.model_copy(update={"trials": 9})
    records = run_search(more, registry, watcher, resume=True)
    check_everything_is_there(more, 9)
    assert records[:6] == before
    rates = [r.config.training.learning_rate for r in records]
    assert set(rates[:3]) == {3e-3}
    assert len(set(rates[3:])) == 6
    assert watcher.phases[-1] == ("trials", 6, 9)
    assert run_search(more, registry, watcher, resume=True) == records, "nothing left to do"


def test_diverged_runs_are_trials_without_a_value(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(
        trials=3, variants=("linear",), baseline="linear", fix={"learning_rate": 1e30}, seeds=2
    )
    records = run_search(plan, registry, watcher)
    check_everything_is_there(plan, 3)
    assert {r.status for r in records} == {"diverged"}
    for trial, record in zip(trials_of(plan), records, strict=False):
        assert trial.state == TrialState.FAIL
        assert trial.user_attrs["reason"] == record.reason


def test_an_existing_study_is_not_overwritten(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=1, train_steps=2)
    run_search(plan, registry, watcher)
    with pytest.raises(StudyExists, match=r"'tiny' exists, with 1 trials; pass --resume"):
        run_search(plan, registry, watcher)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"train_steps": 3}, "train_steps was 2, is 3"),
        ({"fix": {"heads": 2}}, "fix was {}, is {'heads': 2}"),
        ({"task_options": {"values": 5}}, "task options values was 4, is 5"),
        ({"variants": ("linear",)}, "variant 'hyla' is gone"),
    ],
)
def test_another_plan_is_refused(
    registry: Registry, make_plan: PlanMaker, watcher: Any, changes: dict[str, Any], message: str
) -> None:
    run_search(make_plan(trials=1, train_steps=2), registry, watcher)
    other = make_plan(**{"trials": 2, "train_steps": 2, **changes})
    with pytest.raises(StudyMismatch, match=message):
        run_search(other, registry, watcher, resume=True)


def test_a_redefined_energy_is_refused(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=1, train_steps=2, variants=("lse",))
    run_search(plan, registry, watcher)
    lse = registry.energies["lse"]
    registry.energies["lse"] = lse.model_copy(update={"formula": "0.5*|xi|^2 - lse(X @ xi)"})
    with pytest.raises(StudyMismatch, match="variant 'lse' is defined otherwise"):
        run_search(plan, registry, watcher, resume=True)


def test_a_study_of_earlier_days_goes_on(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    """Fields of a task that came later were at their defaults, and are no difference."""
    later = {"task training optimizer", "task training muon_learning_rate"}
    plan = make_plan(trials=1)
    run_search(plan, registry, watcher)
    with open_storage(plan) as storage:
        study = optuna.load_study(study_name=plan.study, storage=storage)
        identity = study.user_attrs["identity"]
        assert later <= set(identity)
        earlier = {name: value for name, value in identity.items() if name not in later}
        study.set_user_attr("identity", earlier)
    records = run_search(make_plan(trials=2), registry, watcher, resume=True)
    assert len(records) == 2
    muon = make_plan(trials=3, fix={"optimizer": "muon"})
    with pytest.raises(StudyMismatch, match="cannot be resumed: fix was"):
        run_search(muon, registry, watcher, resume=True)


def test_somebody_elses_study_is_left_alone(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=1)
    with open_storage(plan) as storage:
        foreign = optuna.create_study(study_name=plan.study, storage=storage)
        foreign.tell(foreign.ask(), 1.0)
    for resume in (False, True):
        with pytest.raises(StudyMismatch, match="'tiny' cannot be resumed: it was not made by"):
            run_search(plan, registry, watcher, resume=resume)
    with open_storage(plan) as storage:
        loaded = optuna.load_study(study_name=plan.study, storage=storage)
        assert loaded.best_value == 1.0


def test_one_driver_at_a_time(registry: Registry, make_plan: PlanMaker, watcher: Any) -> None:
    plan = make_plan(trials=1)
    with study_lock(Path(plan.folder), url_of(plan), "tiny", join=False) as lock:
        lock.acquire()
        with pytest.raises(StudyBusy, match=r"'tiny' is being run by another process$"):
            run_search(plan, registry, watcher)


def test_a_wrong_task_option_is_told_before_anything_runs(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(task_options={"featurs": 2})
    with pytest.raises(ValueError, match=r"featurs.*did you mean 'features'"):
        run_search(plan, registry, watcher)
    assert not Path(plan.folder).exists()


def test_a_baseline_that_no_trial_could_be_has_its_defaults_in_the_finals(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    """In a space of stacks whose first block is fixed to another variant."""
    fix = {"layers": 2, "blocks": "own", "variant.1": "linear"}
    fields = {"variants": ("softmax", "linear"), "space": "stacks", "matched": ()}
    plan = make_plan(trials=2, finalists=1, seeds=2, train_steps=4, fix=fix, **fields)
    finals = [r for r in run_search(plan, registry, watcher) if r.purpose == "final"]
    assert [r.config.variant for r in finals].count("softmax") == 2
    trials = [r.config.variant for r in watcher.records if r.purpose == "trial"]
    assert "softmax" not in trials
