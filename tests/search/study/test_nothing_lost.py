"""Full disks, damaged files, other versions: a clear error, and nothing finished is lost."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import Registry
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.runs.config import RunConfig
from attenergy.search.runs.errors import StorageProblem, StudyMismatch
from attenergy.search.runs.records import RunStore
from attenergy.search.storage.database import READY, latest, open_storage, shown_url
from attenergy.search.study.run import run_search
from attenergy.search.training.train import train

PlanMaker = Callable[..., SearchPlan]
ConfigMaker = Callable[..., RunConfig]


@pytest.fixture(autouse=True)
def played(play: Callable[..., None]) -> None:
    play(lambda config: [0.5])


def test_a_full_disk_keeps_what_is_there(
    registry: Registry, make_plan: PlanMaker, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files stands for the end of the disk, in the midst of a record."""
    plan = make_plan(trials=4)
    run_search(plan.model_copy(update={"trials": 2}), registry, watcher)
    path = Path(plan.folder) / "records.jsonl"
    before = path.read_bytes()
    append = RunStore.append

    def on_a_full_disk(store: RunStore, record: Any) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
        try:
            append(store, record)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "append", on_a_full_disk)
        with pytest.raises(OSError, match=r"cannot be recorded \(File too large\); make room"):
            run_search(plan, registry, watcher, resume=True)
    assert path.read_bytes().startswith(before)
    assert len(path.read_bytes()) == len(before) + 100, "the record was cut short"
    assert len(RunStore(plan.folder).all()) == 2
    records = run_search(plan, registry, watcher, resume=True)
    assert path.read_bytes().startswith(before)
    assert len(records) == len({r.key for r in records}) == 4


def test_weights_that_cannot_be_written_cost_nothing_else(
    make_config: ConfigMaker, tmp_path: Path
) -> None:
    blocked = tmp_path / "weights"
    blocked.write_text("a file where a folder should be")
    record = train(make_config(), weights=blocked / "run.safetensors")
    assert record.status == "complete"
    assert record.metrics["test"]
    assert not record.weights
    assert record.reason.startswith("the weights could not be kept: ")


@pytest.mark.long
def test_a_damaged_storage_is_named_and_made_anew(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=6, control=1, finalists=1)
    before = run_search(plan, registry, watcher)
    path = Path(plan.folder) / "study.db"
    path.write_bytes(b"this was a database" * 100)
    more = plan.model_copy(update={"trials": 8})
    with pytest.raises(StorageProblem, match=r"study\.db cannot be used: file is not a database"):
        run_search(more, registry, watcher, resume=True)
    path.unlink()
    records = run_search(more, registry, watcher, resume=True)
    assert records[: len(before)] == before
    assert "6 trials are taken from the records into the study" in watcher.messages
    assert [r.purpose for r in records].count("trial") == 8
    assert len({r.key for r in records}) == len(records)
    assert [r.proposer for r in records].count("default") == 3, "not run again"


def test_fewer_trials_than_were_made_are_no_smaller_total(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=4, control=0, finalists=0)
    before = run_search(plan, registry, watcher)
    watcher.phases.clear()
    fewer = plan.model_copy(update={"trials": 2})
    assert run_search(fewer, registry, watcher, resume=True) == before
    assert watcher.phases[0] == ("trials", 4, 4)


def test_tables_of_another_optuna_are_refused(
    registry: Registry, make_plan: PlanMaker, watcher: Any
) -> None:
    plan = make_plan(trials=1)
    run_search(plan, registry, watcher)
    with sqlite3.connect(Path(plan.folder) / "study.db") as base:
        base.execute("UPDATE version_info SET schema_version = 11")
        base.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    base.close()
    with pytest.raises(StorageProblem, match=r"study\.db cannot be used: The runtime optuna"):
        run_search(plan, registry, watcher, resume=True)


def test_another_format_is_refused(registry: Registry, make_plan: PlanMaker, watcher: Any) -> None:
    plan = make_plan(trials=1)
    run_search(plan, registry, watcher)
    with open_storage(plan) as storage:
        study, _ = latest(storage, plan)
        assert study is not None
        study.set_user_attr(READY, True)
    with pytest.raises(StudyMismatch, match="it has the format 1 of another version of attenergy"):
        run_search(plan, registry, watcher, resume=True)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////nowhere/at/all/study.db", "unable to open database file"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/x", r"me:\*\*\*@127.*connection failed"),
        ("nonsense", "the given storage URL cannot be used"),
        ("oracle://x", "its driver is not installed"),
    ],
)
def test_a_storage_out_of_reach(
    registry: Registry, make_plan: PlanMaker, watcher: Any, url: str, message: str
) -> None:
    with pytest.raises(StorageProblem, match=message) as caught:
        run_search(make_plan(storage=url), registry, watcher)
    assert "secret" not in str(caught.value)


def test_a_password_is_not_written_down(
    registry: Registry, make_plan: PlanMaker, watcher: Any, tmp_path: Path
) -> None:
    plan = make_plan(trials=1, storage=f"sqlite:///{tmp_path / 'base.db'}?password=x")
    assert shown_url("postgresql+psycopg://me:secret@host/x") == (
        "postgresql+psycopg://me:***@host/x"
    )
    assert shown_url(None) is None
    run_search(plan.model_copy(update={"storage": None}), registry, watcher)
    assert '"storage": null' in (Path(plan.folder) / "plan.json").read_text()
