"""A discovery from its plan to what it writes, with runs whose scores are made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from attenergy.registry import ArgumentError, Registry, UnknownName, load_registry
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.results.discovery import Discovery, read_discovery
from attenergy.search.discovery.run import run_discovery
from attenergy.search.discovery.study.attributes import RESULT
from attenergy.search.discovery.study.open import DiscoveryStudy
from attenergy.search.discovery.study.timing import EvolutionTime
from attenergy.search.planning.plan import DISCOVER_PLAN
from attenergy.search.runs.errors import StudyExists, StudyMismatch
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.database import latest, open_storage
from attenergy.search.storage.study_lock import study_lock
from tests.search.conftest import Watcher
from tests.search.discovery.conftest import (
    DiscoverPlanMaker,
    Instant,
    leave_pages_out,
    make_instant,
    plan_of,
)

pytestmark = pytest.mark.long  # whole searches or processes

SMALL: dict[str, Any] = {"candidates": 3, "seed_energies": ("lse",)}


class Killed(BaseException):
    """Stands for a kill at this very place."""


def population(discovery: Discovery) -> list[dict[str, Any]]:
    """What must not hang on the clock."""
    return [one.model_dump(exclude={"seconds"}) for one in discovery.population]


def trials_of(plan: DiscoverPlan) -> list[optuna.trial.FrozenTrial]:
    with open_storage(plan) as storage:
        study, _ = latest(storage, plan)
        assert study is not None
        return study.get_trials()


def check_account(plan: DiscoverPlan) -> None:
    """Every run once, every run of a trial, every trial with the scores of its runs."""
    lines = (Path(plan.folder) / "records.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    assert len(set(keys)) == len(keys)
    of_trials: set[str] = set()
    for trial in trials_of(plan):
        assert trial.state == TrialState.COMPLETE
        result = trial.user_attrs[RESULT]
        of_trials |= set(result["runs"])
        records = [RunStore(plan.folder).get(key) for key in result["runs"]]
        scores = [record.metrics["valid"]["explained"] for record in records if record]
        assert len(scores) == len(records)
        assert trial.values[0] <= 1
        assert (trial.values[0] > 0) == (max(scores) > 0)
        assert trial.values[2] > 1
    assert of_trials == set(keys)


def test_what_a_discovery_comes_to(
    built_in: Registry, make_discovery: DiscoverPlanMaker, instant: list[str]
) -> None:
    plan, watcher = make_discovery(), Watcher()
    discovery = run_discovery(plan, built_in, watcher)
    folder = Path(plan.folder)
    arms = [one.arm for one in discovery.population]
    assert arms[:2] == ["registry", "registry"]
    assert sorted(arms[2:]) == ["evolved"] * 3 + ["random"] * 2
    assert [one.name for one in discovery.population[:2]] == ["lse", "sparsemax"]
    assert read_discovery(folder) == discovery
    assert load_registry(folder / "discovered.yaml", plugins=False).energies["discovered_2"]
    assert (folder / "discovery.html").stat().st_size > 10_000
    assert DiscoverPlan.model_validate_json((folder / DISCOVER_PLAN).read_bytes()) == plan
    assert any("begins with lse, sparsemax" in text for text in watcher.messages)
    assert len(instant) == len(set(instant))
    check_account(plan)


@pytest.mark.usefixtures("no_page")
def test_the_same_seed_gives_the_same_population_and_another_another(
    built_in: Registry, make_discovery: DiscoverPlanMaker, instant: list[str], tmp_path: Path
) -> None:
    first, again, other = (
        population(
            run_discovery(
                make_discovery(folder=str(tmp_path / name), seed=seed), built_in, Listener()
            )
        )
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again
    assert [one["formula"] for one in first] != [one["formula"] for one in other]


def _die(times: int, function: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    left = [times]

    def killed(*args: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0]:
            return function(*args, **options)
        if after:
            function(*args, **options)
        raise Killed

    return killed


#: Where a driver is killed: whose function, before or after it; each takes seconds.
PLACES = [
    (RDBStorage, "create_new_trial", True),
    (RunStore, "append", False),
    (RunStore, "append", True),
    (DiscoveryStudy, "end", True),
]
MORE_PLACES = [
    (RDBStorage, "create_new_trial", False),
    (Instant, "wait", False),
    (RDBStorage, "set_trial_user_attr", False),
    (RDBStorage, "set_trial_user_attr", True),
    (optuna.Study, "tell", True),
]


@pytest.fixture(scope="module")
def undisturbed(
    built_in: Registry, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """The population of the discovery that others are killed in."""
    with pytest.MonkeyPatch.context() as patch:
        make_instant(patch)
        leave_pages_out(patch)
        plan = plan_of(tmp_path_factory.mktemp("undisturbed"), **SMALL)
        return population(run_discovery(plan, built_in, Listener()))


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [*PLACES, *(pytest.param(*place, marks=pytest.mark.slow) for place in MORE_PLACES)],
)
def test_a_driver_killed_anywhere_goes_on_to_the_same_population(
    built_in: Registry,
    make_discovery: DiscoverPlanMaker,
    instant: list[str],
    undisturbed: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    after: bool,
) -> None:
    plan = make_discovery(**SMALL)
    for nth in (1, 2, 3):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, _die(nth, getattr(owner, name), after=after))
            with suppress(Killed):
                run_discovery(plan, built_in, Listener(), resume=True)
    discovery = run_discovery(plan, built_in, Listener(), resume=True)
    assert population(discovery) == undisturbed
    store = RunStore(plan.folder)
    ran = [key for key in instant if store.get(key) is not None]
    lost = 3 if (owner, name, after) == (RunStore, "append", False) else 0  # under way at a kill
    assert len(ran) == len(set(ran)) + lost
    check_account(plan)


@pytest.mark.usefixtures("no_page")
def test_more_candidates_go_on_from_those_that_there_are(
    built_in: Registry, make_discovery: DiscoverPlanMaker, instant: list[str], tmp_path: Path
) -> None:
    plan = make_discovery(candidates=2)
    before = run_discovery(plan, built_in, Listener())
    ran = len(instant)
    more = plan.model_copy(update={"candidates": 4, "finalists": 0, "workers": 0})
    with pytest.raises(StudyExists, match="4 trials"):
        run_discovery(more, built_in, Listener())
    after = run_discovery(more, built_in, Listener(), resume=True)
    assert population(after)[:4] == population(before)
    assert len(after.population) == 6
    whole = run_discovery(
        more.model_copy(update={"folder": str(tmp_path / "whole")}), built_in, Listener()
    )
    assert population(after) == population(whole)
    assert len(instant[:ran]) == len(set(instant[:ran]))


@pytest.mark.usefixtures("instant", "no_page")
def test_fewer_candidates_than_there_are_end_the_evolution_at_once(
    built_in: Registry, make_discovery: DiscoverPlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_discovery(candidates=3, finalists=0)
    before = run_discovery(plan, built_in, Listener())
    watcher, standings = Watcher(), []
    monkeypatch.setattr(watcher, "reached", lambda done, of, _: standings.append((done, of)))
    less = plan.model_copy(update={"candidates": 1})
    after = run_discovery(less, built_in, watcher, resume=True)
    assert population(after) == population(before)
    assert standings
    assert all(done <= of for done, of in standings)
    assert not watcher.records


@pytest.mark.usefixtures("instant", "no_page")
def test_no_finals_are_held_where_nothing_is_trained(
    built_in: Registry, make_discovery: DiscoverPlanMaker
) -> None:
    plan, watcher = make_discovery(finalists=1, candidates=1, seed_energies=()), Watcher()
    discovery = run_discovery(plan, built_in, watcher)
    assert discovery.finalists == ()
    assert not (Path(plan.folder) / "finals").exists()
    assert any("nothing is trained on these tasks" in text for text in watcher.messages)


@pytest.mark.usefixtures("no_page")
def test_several_workers_keep_the_account(
    built_in: Registry, make_discovery: DiscoverPlanMaker, instant: list[str]
) -> None:
    plan = make_discovery(workers=3, candidates=6)
    discovery = run_discovery(plan, built_in, Listener())
    assert len(discovery.population) == 8
    assert len(instant) == len(set(instant))
    check_account(plan)


@pytest.mark.usefixtures("no_page")
def test_what_must_not_change(
    built_in: Registry, make_discovery: DiscoverPlanMaker, instant: list[str]
) -> None:
    plan = make_discovery(candidates=1, seed_energies=())
    run_discovery(plan, built_in, Listener())
    for changes, text in (
        ({"seed": 4}, "seed was 0, is 4"),
        ({"without": ("lse",)}, "without was"),
        ({"control": 0.25}, "control was 0.5, is 0.25"),
        ({"tasks": ("denoising", "latch")}, "tasks was"),
    ):
        with pytest.raises(StudyMismatch, match=text) as caught:
            run_discovery(plan.model_copy(update=changes), built_in, Listener(), resume=True)
        assert len(caught.value.differences) == 1  # nothing that follows from it
    (Path(plan.folder) / "compare.json").write_text("{}")
    with pytest.raises(StudyMismatch, match="no discovery"):
        run_discovery(plan, built_in, Listener(), resume=True)


def test_two_drivers_do_not_work_on_one_discovery(
    built_in: Registry, make_discovery: DiscoverPlanMaker, instant: list[str]
) -> None:
    plan = make_discovery()
    url = f"sqlite:///{Path(plan.folder) / 'study.db'}"
    with study_lock(Path(plan.folder), url, plan.study, join=False) as lock:
        lock.acquire()
        with pytest.raises(ValueError, match="is being run by another process"):
            run_discovery(plan, built_in, Listener())
    assert not instant


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"tasks": ("nope",)}, UnknownName, "no task 'nope'"),
        ({"held_out": ("nope",)}, UnknownName, "no task 'nope'"),
        ({"seed_energies": ("polynomial",)}, ArgumentError, "states live in the domain"),
        ({"seed_energies": ("softmax",)}, ArgumentError, "softmax cannot be a seed: it is no"),
        ({"without": ("lse",)}, ArgumentError, "lse cannot be a seed: .* left out"),
        ({"without": ("lsee",)}, ArgumentError, "did you mean 'lse'"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_made(
    built_in: Registry,
    make_discovery: DiscoverPlanMaker,
    changes: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    plan = make_discovery(**changes)
    with pytest.raises(error, match=text):
        run_discovery(plan, built_in, Listener())
    assert not Path(plan.folder).exists()


@pytest.mark.usefixtures("no_page")
def test_who_is_still_searching_its_settings_is_no_finalist(
    built_in: Registry,
    make_discovery: DiscoverPlanMaker,
    instant: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finalists: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        "attenergy.search.discovery.conclusion.run_finals",
        lambda _, chosen, *__, **___: finalists.append(tuple(one.name for one in chosen)),
    )
    plan = make_discovery(tasks=("latch",), seed_energies=(), finalists=3, candidates=2)
    run_discovery(plan, built_in, Listener())
    ((_, *whole),) = finalists
    runs = len(instant)
    with monkeypatch.context() as patch:  # the time is over in the search of the last one
        patch.setattr(EvolutionTime, "fits", lambda *_: len(instant) < runs // 2)
        again = plan.model_copy(update={"folder": f"{plan.folder}-again"})
        instant.clear()
        first = run_discovery(again, built_in, Listener())
    assert any(one.scores and one.name not in finalists[1] for one in first.population)
    run_discovery(again, built_in, Listener(), resume=True)
    assert finalists[2] == ("softmax", *whole)
