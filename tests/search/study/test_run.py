from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from attenergy.registry import Range, Registry, load_registry
from attenergy.search.engines.in_process import InProcess
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.database import latest, open_storage, url_of
from attenergy.search.storage.locks import study_lock
from attenergy.search.study import queue as queue_module
from attenergy.search.study.run import StudyBusy, StudyExists, StudyMismatch, run_search

PlanMaker = Callable[..., SearchPlan]
Trials = list[optuna.trial.FrozenTrial]


def trials_of(plan: SearchPlan) -> Trials:
    with open_storage(plan) as storage:
        study, _ = latest(storage, plan)
        assert study is not None
        return study.get_trials()


def check_everything_is_there(plan: SearchPlan, trials: int) -> None:
    """No run twice, every trial that counts has its record and the value of its record."""
    lines = (Path(plan.folder) / "records.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    assert len(set(keys)) == len(keys)
    store = RunStore(plan.folder)
    by_run = {trial.user_attrs.get("run", ""): trial for trial in trials_of(plan)}
    counted = 0
    for run, trial in by_run.items():  # the later one of an interrupted trial and its second try
        record = store.get(run)
        counted += record is not None
        complete = record is not None and record.status == "complete"
        assert trial.state == (TrialState.COMPLETE if complete else TrialState.FAIL)
        if record is not None and complete:
            assert trial.value == record.metrics["valid"]["accuracy"]
            assert trial.user_attrs["config_hash"] == record.config_hash
    assert counted == trials


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


NEW_ENERGY = """
version: 1
energies:
  newcomer:
    title: Log-sum-exp without a field
    formula: 0.5*|xi|^2 - lse(beta * X @ xi)/beta
    parameters:
      beta: {init: 1.0, constraint: positive, search: {low: 0.5, high: 2.0}}
    quadratic: 1.0
"""


def test_a_grown_registry_moves_the_study(
    registry: Registry, make_plan: PlanMaker, watcher: Any, tmp_path: Path
) -> None:
    registry.energies.clear()  # fewer variants, so that the new one is drawn soon
    plan = make_plan(trials=3, train_steps=2, variants=(), sampler="random")
    before = run_search(plan, registry, watcher)
    old = trials_of(plan)

    (tmp_path / "new.yaml").write_text(NEW_ENERGY)
    grown = load_registry(*registry.files[1:], tmp_path / "new.yaml", plugins=False)
    for name in set(grown.energies) - {"newcomer"}:
        del grown.energies[name]
    more = plan.model_copy(update={"trials": 16})
    records = run_search(more, grown, watcher, resume=True)
    check_everything_is_there(more, 16)
    assert records[:3] == before
    assert "newcomer" in {r.config.variant for r in records}
    assert "going on as tiny@2" in watcher.messages[-1]
    assert "newcomer is new" in watcher.messages[-1]

    new = trials_of(more)
    for number, (was, now) in enumerate(zip(old, new, strict=False)):
        assert now.user_attrs["origin"] == f"tiny:{number}"
        assert (was.params, was.value, was.state) == (now.params, now.value, now.state)
    again = run_search(more, grown, watcher, resume=True)
    assert again == records
    with open_storage(plan) as storage:
        assert latest(storage, plan)[1] == 2


def test_wider_and_narrower_ranges(registry: Registry, make_plan: PlanMaker, watcher: Any) -> None:
    plan = make_plan(trials=3, train_steps=2, sampler="random")
    run_search(plan, registry, watcher)
    registry.spaces["tiny"]["learning_rate"] = Range(low=2.9e-3, high=3.1e-3, log=True)
    registry.spaces["tiny"]["heads"] = Range(choices=(2, 4, 8))
    more = plan.model_copy(update={"trials": 6})
    records = run_search(more, registry, watcher, resume=True)
    check_everything_is_there(more, 6)
    rates = [r.config.training.learning_rate for r in records]
    assert all(2.9e-3 <= rate <= 3.1e-3 for rate in rates[3:])
    assert [t.params["learning_rate"] for t in trials_of(more)[:3]] == rates[:3]


class Stop(Listener):
    """Interrupts after so many runs; 0 for before the first."""

    def __init__(self, runs: int) -> None:
        self.left = runs

    def phase(self, name: str, done: int, total: int) -> None:
        if not self.left:
            raise KeyboardInterrupt

    def finished(self, record: RunRecord) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_waiting_proposal_whose_value_is_no_longer_offered(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    """What is still offered of it is kept, the rest is left to the sampler, in both moves."""
    wishes = ({"learning_rate": 9e-3, "heads": 4}, {"learning_rate": 2e-3, "heads": 4})
    plan = make_plan(
        trials=3, train_steps=2, sampler="random", variants=("softmax",), enqueue=wishes
    )
    with pytest.raises(KeyboardInterrupt):  # the first has ended, the wishes wait
        run_search(plan, registry, Stop(1))
    assert [t.state.name for t in trials_of(plan)] == ["COMPLETE", "WAITING", "WAITING"]
    registry.spaces["tiny"]["learning_rate"] = Range(low=1e-3, high=5e-3, log=True)
    plan = plan.model_copy(update={"enqueue": ()})
    with pytest.raises(KeyboardInterrupt):
        run_search(plan, registry, Stop(0), resume=True)
    moved = trials_of(plan)
    assert [t.user_attrs["enqueued"] for t in moved[1:3]] == [
        {"heads": 4},
        {"learning_rate": 2e-3, "heads": 4},
    ]
    registry.spaces["tiny"]["heads"] = Range(choices=(2, 4, 8))
    records = run_search(plan, registry, watcher, resume=True)
    check_everything_is_there(plan, 3)
    with open_storage(plan) as storage:
        assert latest(storage, plan)[1] == 3
    assert "going on as tiny@3" in watcher.messages[-1]
    first, *wished = trials_of(plan)
    assert first.user_attrs["origin"] == "tiny:0", "the first origin stays"
    assert all(t.params["heads"] == 4 for t in wished[:2])
    assert 2e-3 in {t.params["learning_rate"] for t in wished}
    assert all(r.config.training.learning_rate <= 5e-3 for r in records)


def test_a_choice_that_was_tried_and_is_gone_is_refused(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=1, train_steps=2)
    run_search(plan, registry, watcher)
    tiny = registry.tasks["tiny"]
    model = tiny.model.model_copy(update={"heads": 4})
    registry.tasks["tiny"] = tiny.model_copy(update={"model": model})
    registry.spaces["tiny"]["heads"] = Range(choices=(4, 8))
    with pytest.raises(StudyMismatch, match="task model heads was 2, is 4"):
        run_search(plan, registry, watcher, resume=True)


class Killed(BaseException):
    """Stands for a kill at this very lock."""


def _die(times: dict[str, int], function: Callable[..., Any], *, after: bool) -> Any:
    def killed(*args: Any, **options: Any) -> Any:
        times["left"] -= 1
        if times["left"]:
            return function(*args, **options)
        if after:
            function(*args, **options)
        raise Killed

    return killed


PLACES = [
    (optuna.Study, "ask", True),
    (Space, "suggest", True),
    (optuna.Trial, "set_user_attr", True),
    (InProcess, "wait", False),
    (RunStore, "append", False),
    (RunStore, "append", True),
    (queue_module, "tell_record", True),
]


@pytest.mark.parametrize(
    ("owner", "name", "after", "nth"),
    [  # at every place once, by turns at its first and its fourth call; both when asked
        pytest.param(*place, nth, marks=[] if (n % 2 == 0) == (nth == 1) else [pytest.mark.slow])
        for n, place in enumerate(PLACES)
        for nth in (1, 4)
    ],
)
def test_a_driver_killed_anywhere_goes_on(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    after: bool,
    nth: int,
) -> None:
    plan = make_plan(trials=3, train_steps=2, finalists=1, seeds=2)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _die({"left": nth}, getattr(owner, name), after=after))
        with suppress(Killed):
            run_search(plan, registry, watcher)
    path = Path(plan.folder) / "records.jsonl"
    before = path.read_bytes() if path.exists() else b""
    records: list[RunRecord] = run_search(plan, registry, watcher, resume=True)
    check_everything_is_there(plan, 3)
    assert path.read_bytes().startswith(before)
    baseline = next(r for r in records if r.config.variant == "softmax")
    assert baseline.config.training.learning_rate == 3e-3
    again = {r.config.seed for r in records if r.config_hash == baseline.config_hash}
    assert again == {0, 1000, 1001}


@pytest.mark.parametrize(
    ("owner", "name"), [(optuna.Study, "add_trials"), (optuna.Study, "set_user_attr")]
)
def test_a_move_that_was_cut_short_is_done_again(
    registry: Registry,
    make_plan: PlanMaker,
    watcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
) -> None:
    plan = make_plan(trials=2, train_steps=2, variants=("linear",))
    before = run_search(plan, registry, watcher)
    more = plan.model_copy(update={"trials": 3, "variants": ("linear", "hyla")})
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _die({"left": 1}, getattr(owner, name), after=True))
        with pytest.raises(Killed):
            run_search(more, registry, watcher, resume=True)
    records = run_search(more, registry, watcher, resume=True)
    check_everything_is_there(more, 3)
    assert records[:2] == before
