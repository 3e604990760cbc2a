"""The collector of learning curves, the tables that are made of them, and the page about both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from attenergy.registry import load_registry
from attenergy.search.bench.table import table_names
from attenergy.search.bench.world import World
from attenergy.search.planning.space import Space

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "policies"


@pytest.fixture(scope="module", autouse=True)
def at_folder() -> Iterator[None]:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def module(name: str) -> ModuleType:
    return __import__(name)


def test_more_rounds_go_on_with_the_same_configurations() -> None:
    collect = module("collect_curves")
    one = [(name, config.run_key()) for name, config in collect.jobs(collect.TABLES[:1], 1)]
    two = [(name, config.run_key()) for name, config in collect.jobs(collect.TABLES[:1], 2)]
    assert two[: len(one)] == one
    assert len(set(two)) == len(two) > len(one)


def test_the_first_of_each_variant_is_its_defaults() -> None:
    collect = module("collect_curves")
    space = Space(load_registry(), collect.TABLES[0].plan())
    drawn = dict(reversed([(c.variant, c) for _, c in collect.configurations(space, 2)]))
    assert set(drawn) == set(collect.VARIANTS)
    assert drawn["softmax"].config_hash() == space.reference().config_hash()


def test_runs_become_a_table_that_makes_a_world() -> None:
    collect, pack = module("collect_curves"), module("pack_table")
    small = {"evaluate_every": 2, "batch_size": 4, "valid_instances": 8, "test_instances": 8}
    tiny = collect.Collection(
        *("tiny", "stacked-recall-small", {"pairs": 4}), {**small, "warmup": 0}, 4, (1.0, 0.5), 1
    )
    jobs = [config for _, config in collect.jobs([tiny], 1) if config.variant == "linear"]
    assert sorted((c.training.steps, c.seed) for c in jobs) == [(2, 0), (2, 1), (4, 0), (4, 1)]
    table = pack.pack(tiny, [collect.run(config) for config in jobs], "0" * 40)
    (config,) = table.configs
    assert table.lengths == (2, 4)
    assert config.params["variant"] == "linear"
    assert config.seconds_per_step > 0
    assert [run.at for run in config.runs_of(4)] == [(2, 4), (2, 4)]
    assert set(config.runs[0].final) == {"test"}
    assert World(table).best == pytest.approx(sum(r.scores[-1] for r in config.runs_of(4)) / 2)


def test_the_page_is_made_of_the_committed_tables_and_results() -> None:
    page = module("write_page")
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.written(text) == text
    assert all(name in text for name in table_names())
    for link in ("collect_curves.py", "pack_table.py"):
        assert (FOLDER / link).is_file()
        assert link in text
