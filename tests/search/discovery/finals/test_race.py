"""The finals of a discovery: equal tuning, one comparison for each task, read like any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import ArgumentError, Registry, load_registry
from attenergy.search.budgets.clock import TimeBudget
from attenergy.search.comparison.compare import ComparisonMismatch
from attenergy.search.discovery.filters.fingerprint import Fingerprint
from attenergy.search.discovery.finals import race
from attenergy.search.discovery.finals.race import plan_of, run_finals
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.population.finalists import Finalist
from attenergy.search.discovery.population.individual import Individual
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.results.study_folder import read_study
from attenergy.search.results.task_table import read_matrix
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import read_records

MISMATCH = ComparisonMismatch("finals/still holds a comparison with steps=6, not None")
CANDIDATE = Candidate.from_formula("0.5*|xi|^2 - sum_n(softplus(beta*X @ xi))/beta")
TASKS = """
version: 1
tasks:
  tiny:
    title: A recall of few steps
    class: StackedRecall
    options: {vocabulary: 16, pairs: 4}
    model: {layers: 1, width: 8, heads: 1, mlp: 0, positions: none}
    training:
      {steps: 2, batch_size: 4, learning_rate: 1e-2, warmup: 0, weight_decay: 0.0,
       evaluate_every: 2, valid_instances: 8, test_instances: 8}
  still:
    title: Retrieval without training
    class: NoisyRetrieval
    options: {dim: 4, patterns: 4}
    model: {layers: 1, width: 4, heads: 1, mlp: 0, positions: none}
    training: {steps: 0, valid_instances: 8, test_instances: 8}
"""


class Noting(Listener):
    def __init__(self) -> None:
        self.started_runs = 0

    def started(self, config: Any) -> None:
        self.started_runs += 1


class Hearing(Listener):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    path = tmp_path / "tasks.yaml"
    path.write_text(TASKS, encoding="utf-8")
    loaded = load_registry(path, plugins=False)
    loaded.energies["discovered_5"] = CANDIDATE.entry(title="discovered")
    return loaded


def plan(folder: Path, **changes: Any) -> DiscoverPlan:
    values = {"study": "d", "folder": str(folder), "tasks": ("tiny",), "candidates": 4}
    return DiscoverPlan.model_validate({**values, "workers": 0, **changes})


def finalists(**settings: Any) -> tuple[Finalist, ...]:
    one = Individual(5, "evolved", CANDIDATE, Fingerprint((1.0,)), settings=settings)
    return (Finalist("softmax", "softmax"), Finalist("discovered_5", "evolved", one))


def test_everybody_tries_the_same_rates_around_the_tasks_own(
    tmp_path: Path, registry: Registry
) -> None:
    compare = plan_of(plan(tmp_path), "tiny", finalists(), registry)
    assert compare.tune == {"learning_rate": (0.00333, 0.01, 0.03)}
    assert compare.variants == ("softmax", "discovered_5")
    muon = plan_of(plan(tmp_path), "mqar", finalists(), registry)
    assert muon.tune == {"muon_learning_rate": (0.00667, 0.02, 0.06)}
    assert not plan_of(plan(tmp_path), "still", finalists(), registry).tune


def test_settings_of_the_discovery_are_fixed_where_the_entry_has_others(
    tmp_path: Path, registry: Registry
) -> None:
    chosen = finalists(steps=1, step_size=0.7, number_0=2.0, beta=8.0)
    compare = plan_of(plan(tmp_path), "tiny", chosen, registry)
    assert compare.fix == {"discovered_5.step_size": 0.7}


def test_time_is_shared_by_what_the_runs_of_a_task_cost(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: dict[str, float] = {}

    def compare(one: ComparePlan, *_: object, time_budget: TimeBudget) -> None:
        parts[one.task] = time_budget.seconds

    monkeypatch.setattr(race, "run_compare", compare)
    for name in ("read_study", "write_leaderboard", "column_of", "write_matrix"):
        monkeypatch.setattr(race, name, lambda *_: None)
    held_out = plan(tmp_path, held_out=("mqar", "still"))
    budget = TimeBudget(120.0, "2m", 0.0, lambda: 0.0)
    run_finals(held_out, finalists(), registry, lambda _: nullcontext(Noting()), time_budget=budget)
    # No time passes, so each part is of the whole: a third, a half of what two others leave, all.
    tiny, mqar, still = (parts[name] / 120 for name in ("tiny", "mqar", "still"))
    shares = [tiny, (1 - tiny) * mqar, (1 - tiny) * (1 - mqar) * still]
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] == pytest.approx(1 / 6, abs=1e-4)  # two steps of a tiny model
    assert shares[1] == pytest.approx(1 / 6 + 1 / 2, abs=1e-4)
    assert shares[2] == pytest.approx(1 / 6, abs=1e-4)


@pytest.mark.parametrize("error", [ArgumentError("too little", topic="budget"), MISMATCH])
def test_a_task_that_cannot_be_run_takes_nothing_from_the_others(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    listener, real = Hearing(), race.run_compare

    def compare(one: ComparePlan, *rest: Any, **options: Any) -> None:
        if one.task == "still":
            raise error
        real(one, *rest, **options)

    monkeypatch.setattr(race, "run_compare", compare)
    held_out = plan(tmp_path, tasks=("still",), held_out=("tiny",))
    matrix = run_finals(held_out, finalists(), registry, lambda _: nullcontext(listener))
    assert [column.task for column in matrix.columns] == ["tiny"]
    assert [text for text in listener.messages if "no finals on still in this session" in text]
    assert read_matrix(tmp_path / "finals") == matrix


@pytest.mark.long
def test_each_task_is_a_comparison_that_goes_on_where_it_stopped(
    tmp_path: Path, registry: Registry
) -> None:
    listener, plans = Noting(), list[ComparePlan]()

    @contextmanager
    def listen(one: ComparePlan) -> Iterator[Listener]:
        plans.append(one)
        yield listener

    whole = plan(tmp_path / "d", held_out=("still",))
    matrix = run_finals(whole, finalists(), registry, listen)
    assert [column.task for column in matrix.columns] == ["tiny", "still"]
    assert all(column.verdict is not None for column in matrix.columns)
    study = read_study(tmp_path / "d" / "finals" / "tiny")
    assert {row.variant for row in study.leaderboard().rows} == {"softmax", "discovered_5"}
    assert read_matrix(tmp_path / "d" / "finals").variants == ("softmax", "discovered_5")
    runs = listener.started_runs
    assert runs == sum(len(read_records(Path(each.folder))) for each in plans)
    run_finals(whole, finalists(), registry, listen)
    assert listener.started_runs == runs
