from __future__ import annotations

from pathlib import Path
from typing import Any

from attenergy.registry import load_registry
from attenergy.search.runs.own_entries import (
    REGISTRY,
    changed_entries,
    own_entries,
    write_own_entries,
)


def test_entries_that_are_not_built_in_come_back_from_their_file(
    make_record: Any, tmp_path: Path
) -> None:
    records = [make_record("mine", (0.5,)), make_record("lse", (0.5,))]
    assert write_own_entries(tmp_path, records)
    registry = load_registry(tmp_path / REGISTRY, plugins=False)
    assert registry.energies["mine"] == records[0].config.layer
    # Its name is taken: no file can change it.
    assert changed_entries(records) == ["lse"]
    assert "lse:" not in (tmp_path / REGISTRY).read_text()
    assert registry.tasks["known"] == records[0].config.task_spec


def test_a_study_of_built_in_entries_needs_no_file(make_record: Any, tmp_path: Path) -> None:
    registry = load_registry(plugins=False)
    record = make_record("lse", (0.5,), task="raven-small")
    config = record.config.model_copy(update={"layer": registry.energies["lse"]})
    assert own_entries([record.model_copy(update={"config": config})]) == ""
    assert changed_entries([record.model_copy(update={"config": config})]) == []
    assert not write_own_entries(tmp_path, [record.model_copy(update={"config": config})])
    assert not (tmp_path / REGISTRY).exists()


def test_a_task_whose_space_is_nowhere_recorded_has_the_default_one(make_record: Any) -> None:
    record = make_record("lse", (0.5,), task="tiny")
    spec = record.config.task_spec.model_copy(update={"space": "of my own"})
    config = record.config.model_copy(update={"task_spec": spec})
    text = own_entries([record.model_copy(update={"config": config})])
    assert "tiny:" in text
    assert "of my own" not in text
