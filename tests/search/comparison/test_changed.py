"""What may change between two calls of a comparison, and what is refused."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import ArgumentError, EnergySpec, Registry, load_registry
from attenergy.search.comparison.compare import ComparePlan, ComparisonMismatch, run_compare
from attenergy.search.runs.errors import StudyBusy
from attenergy.search.runs.events import Listener
from attenergy.search.runs.records import RECORDS, read_records
from attenergy.search.storage.locks import FileLock
from attenergy.search.storage.study_lock import LOCK

BUILT_IN = load_registry(plugins=False)
LSE = BUILT_IN.energies["lse"].model_dump(by_alias=True)
TASK = "stacked-recall"


def with_mine(**changes: Any) -> Registry:
    mine = EnergySpec.model_validate({**LSE, "title": "Mine", **changes})
    return replace(BUILT_IN, energies={**BUILT_IN.energies, "mine": mine})


def compared(folder: Path, registry: Registry, **changes: Any) -> int:
    """How many runs belong to a small comparison."""
    plan = {
        **{"name": "c", "folder": str(folder / "c"), "task": TASK, "variants": ("softmax", "mine")},
        **{"task_options": {"vocabulary": 16, "pairs": 4}, "seeds": 2, "steps": 2, "workers": 0},
        "fix": {"valid_instances": 32, "test_instances": 32, "layers": 2},
    }
    return len(run_compare(ComparePlan.model_validate({**plan, **changes}), registry, Listener()))


def edited(folder: Path, number: int, change: Any) -> None:
    """Change a record by hand."""
    path = folder / "c" / RECORDS
    lines = path.read_text().splitlines()
    data = json.loads(lines[number])
    change(data)
    lines[number] = json.dumps(data)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("variants", [("softmax", "mine"), ("softmax", "mine/softmax")])
def test_an_entry_that_computes_something_else_is_refused(
    tmp_path: Path, variants: tuple[str, ...]
) -> None:
    before = with_mine()
    assert compared(tmp_path, before, variants=variants) == 4
    formula = f"{LSE['formula']} + 0.01*|xi|^4"
    for other in (
        with_mine(formula=formula),
        with_mine(parameters={"beta": {**LSE["parameters"]["beta"], "init": 0.5}}),
    ):
        with pytest.raises(ComparisonMismatch, match="variant 'mine' as it was defined then"):
            compared(tmp_path, other, variants=variants)
    assert compared(tmp_path, with_mine(title="My own"), variants=variants) == 4
    assert compared(tmp_path, with_mine(formula=formula), variants=("softmax",)) == 2
    assert len(read_records(tmp_path / "c")) == 4


def test_a_task_that_was_defined_otherwise_is_refused(tmp_path: Path) -> None:
    before = with_mine()
    assert compared(tmp_path, before) == 4
    task = before.tasks[TASK]
    for change in (
        {"training": task.training.model_copy(update={"learning_rate": 0.5})},
        {"model": task.model.model_copy(update={"mlp": 7})},
    ):
        other = replace(before, tasks={**before.tasks, TASK: task.model_copy(update=change)})
        with pytest.raises(ComparisonMismatch, match=f"task '{TASK}' as it was defined then"):
            compared(tmp_path, other)


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with closing(FileLock(tmp_path / "c" / LOCK)) as lock:
        assert lock.acquire()
        with pytest.raises(StudyBusy, match="'c' is being run by another process"):
            compared(tmp_path, with_mine())
    assert compared(tmp_path, with_mine()) == 4


def test_a_record_with_another_seed_than_its_run_ends_the_comparison(tmp_path: Path) -> None:
    compared(tmp_path, with_mine())
    edited(tmp_path, 1, lambda data: data["config"].update(seed=7))
    with pytest.raises(ArgumentError, match="says seed 7, which is not the seed of that run"):
        compared(tmp_path, with_mine(), final_budget="6seeds")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e308"])
@pytest.mark.parametrize("place", ["metrics", "cost"])
def test_a_record_whose_numbers_nothing_can_have_is_no_record(
    tmp_path: Path, value: str, place: str
) -> None:
    compared(tmp_path, with_mine())

    def change(data: dict[str, Any]) -> None:
        values = data["metrics"]["valid"] if place == "metrics" else data["cost"]
        values["accuracy" if place == "metrics" else "seconds"] = float(value)

    edited(tmp_path, 2, change)
    with pytest.raises(ArgumentError, match=rf"records\.jsonl:3: not a run record: {place}"):
        read_records(tmp_path / "c")
