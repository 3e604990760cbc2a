from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from attenergy.attention.solvers.catalogue import SOLVERS
from attenergy.registry.files import write_atomically
from attenergy.search.planning.space import Space
from attenergy.search.runs import config as config_module
from attenergy.search.runs import provenance
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.records import RunStore

ConfigMaker = Callable[..., RunConfig]


@pytest.fixture
def records(make_config: ConfigMaker) -> list[RunRecord]:
    return [provenance.failed(make_config(seed=seed), "trial", "because") for seed in range(3)]


def test_what_is_appended_is_read_again(tmp_path: Path, records: list[RunRecord]) -> None:
    store = RunStore(tmp_path)
    for record in records:
        store.append(record)
    again = RunStore(tmp_path)
    assert again.all() == store.all() == records
    assert again.get(records[1].key) == records[1]
    assert again.get("unknown") is None


def test_keys_survive_the_trip_through_json(tmp_path: Path, records: list[RunRecord]) -> None:
    RunStore(tmp_path).append(records[0])
    read = RunStore(tmp_path).all()[0]
    assert read.config.run_key() == read.key == records[0].config.run_key()
    assert read.config.config_hash() == read.config_hash


def test_a_torn_last_line_was_never_written(tmp_path: Path, records: list[RunRecord]) -> None:
    store = RunStore(tmp_path)
    for record in records[:2]:
        store.append(record)
    whole = store.path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in (first + 1, (first + len(whole)) // 2, len(whole) - 1):
        store.path.write_bytes(whole[:cut])
        torn = RunStore(tmp_path)
        assert torn.all() == records[:1]
        assert store.path.read_bytes() == whole[:cut], "reading does not write"
        torn.append(records[1])
        assert store.path.read_bytes() == whole
        assert RunStore(tmp_path).all() == records[:2]


def test_a_run_is_recorded_once(tmp_path: Path, records: list[RunRecord]) -> None:
    store = RunStore(tmp_path)
    store.append(records[0])
    with pytest.raises(ValueError, match=f"run {records[0].key} is already recorded"):
        store.append(records[0])
    assert RunStore(tmp_path).all() == records[:1]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path, records: list[RunRecord]) -> None:
    store = RunStore(tmp_path)
    store.append(records[0])
    store.path.write_bytes(b'{"key": 3}\n' + store.path.read_bytes())
    with pytest.raises(ValueError, match=r"records.jsonl:1: not a run record: key: "):
        RunStore(tmp_path)


def test_a_text_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sub" / "plan.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"

    def fail(_: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, "half")
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["plan.json"]


def test_a_run_keeps_its_key_when_solvers_are_renamed(registry, make_plan) -> None:
    """Keys are made of the names that a solver had first, whichever a record or an entry says."""
    earlier = {s: solver.earlier_names for s, solver in SOLVERS.items() if solver.earlier_names}
    assert {new: (old,) for new, old in config_module._RENAMED.items()} == earlier
    plan = make_plan(variants=("graph_hopfield",), baseline="graph_hopfield")
    config = Space(registry, plan).reference()
    text = config.model_copy(update={"settings": {"solver": "semi_implicit"}}).model_dump_json(
        by_alias=True
    )
    assert '"semi_implicit"' in text
    before = RunConfig.model_validate_json(text.replace('"semi_implicit"', '"implicit"'))
    assert before.run_key() == RunConfig.model_validate_json(text).run_key() != config.run_key()
