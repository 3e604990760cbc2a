"""A corrected text leaves the runs of an entry; any other change does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attenergy.registry import EnergySpec, Registry, StackEntry, load_registry
from attenergy.search.comparison.compare import run_compare
from attenergy.search.planning.plan import ComparePlan, SearchPlan
from attenergy.search.runs.config import RunRecord
from attenergy.search.runs.events import Listener
from attenergy.search.runs.recorded_texts import deciding, with_recorded_texts
from attenergy.search.study.run import run_search

REGISTRY = load_registry(plugins=False)
MINE: dict[str, Any] = {
    "title": "Mine",
    "formula": "0.5*|xi|^2 - lse(beta * X @ xi + h)/beta",
    "parameters": {"beta": {"init": 1.0, "constraint": "positive", "doc": "how sharp"}},
    "quadratic": 1.0,
}
TEXTS: list[dict[str, Any]] = [
    {"title": "My own"},
    {"doc": "What it is."},
    {"reference": "Somebody 2026"},
    {"capacity": "large"},
    {"symbols": {"X": "patterns"}},
    {"known_answers": ("softmax_attention",)},
    {"parameters": {"beta": MINE["parameters"]["beta"] | {"doc": "inverse temperature"}}},
]
OTHERS: list[dict[str, Any]] = [
    {"formula": "0.5*|xi|^2 - 2*lse(beta * X @ xi + h)/beta"},
    {"quadratic": 2.0},
    {"domain": "sphere"},
    {"steps": {"default": 2}},
    {"step_size": {"default": 0.5}},
    {"read": "state"},
    {"parameters": {"beta": MINE["parameters"]["beta"] | {"init": 2.0}}},
    {"parameters": {"beta": MINE["parameters"]["beta"] | {"learnable": "no"}}},
]


def with_mine(**changes: Any) -> Registry:
    spec = EnergySpec.model_validate(MINE | changes)
    return replace(REGISTRY, energies={**REGISTRY.energies, "mine": spec})


def plan(folder: Path, **changes: Any) -> ComparePlan:
    values: dict[str, Any] = {
        **{"name": "c", "folder": str(folder), "task": "latch", "seeds": 1, "steps": 1},
        **{"variants": ("softmax", "mine", "lse+mine"), "workers": 0},
        "fix": {"heads": 2, "valid_instances": 8, "test_instances": 8},
    }
    return ComparePlan.model_validate({**values, **changes})


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[RunRecord]:
    return run_compare(plan(tmp_path_factory.mktemp("of") / "c"), with_mine(), Listener())


@pytest.mark.parametrize("text", TEXTS, ids=str)
def test_recorded_texts_are_taken(text: dict[str, Any], records: list[RunRecord]) -> None:
    changed = with_mine(**text)
    assert changed.energies["mine"] != with_mine().energies["mine"]
    for some in (records, records[::-1], records[-1:]):  # the last is of a stack
        assert with_recorded_texts(changed, some).variant("mine") == with_mine().variant("mine")


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_another_entry_stays_another(other: dict[str, Any], records: list[RunRecord]) -> None:
    changed = with_mine(**other, doc="What it is.")
    assert with_recorded_texts(changed, records) is changed


def test_of_several_recorded_entries_the_one_that_decides_the_same(
    records: list[RunRecord],
) -> None:
    mine = next(record for record in records if record.config.variant == "mine")
    older = EnergySpec.model_validate(MINE | OTHERS[0])
    first = mine.model_copy(update={"config": mine.config.model_copy(update={"layer": older})})
    changed = with_mine(title="My own")
    assert with_recorded_texts(changed, [first, mine]).energies["mine"].title == "Mine"
    assert with_recorded_texts(changed, [first]) is changed


def test_texts_that_some_run_has_stay(records: list[RunRecord]) -> None:
    mine = next(record for record in records if record.config.variant == "mine")
    registry = with_mine(title="My own")
    newer = mine.config.model_copy(update={"layer": registry.energies["mine"]})
    both = [mine, mine, mine.model_copy(update={"config": newer})]
    assert with_recorded_texts(registry, both) is registry
    other = with_mine(title="Mine at last")
    assert with_recorded_texts(other, both).energies["mine"].title == "Mine"  # of the most runs
    assert with_recorded_texts(other, both[1:] + both[2:]).energies["mine"].title == "My own"


@pytest.mark.parametrize(("before", "now"), [(1, True), (0, False)])
def test_a_number_is_no_truth_value(before: int, now: bool, records: list[RunRecord]) -> None:
    def place_rbm(seed: int, title: str) -> EnergySpec:
        options = {"length": {"default": 64}, "hidden": {"default": 3}, "seed": {"default": seed}}
        fields = {"title": title, "class": "PlaceRBM", "quadratic": 1.0, "options": options}
        return EnergySpec.model_validate(fields)

    config = records[0].config.model_copy(
        update={"variant": "mine", "layer": place_rbm(before, "Mine")}
    )
    registry = replace(REGISTRY, energies={"mine": place_rbm(now, "My own")})
    record = records[0].model_copy(update={"config": config})
    assert with_recorded_texts(registry, [record]) is registry


def test_texts_of_a_named_stack(tmp_path: Path) -> None:
    def of(title: str, energy: str, *pattern: str) -> Registry:
        stack = StackEntry(title=title, doc=f"About {title}.", pattern=pattern)
        return replace(with_mine(title=energy), stacks={"both": stack})

    fix = {"layers": 2, "valid_instances": 8, "test_instances": 8}
    chosen = plan(tmp_path / "c", variants=("softmax", "both"), fix=fix)
    first = run_compare(chosen, of("Both", "Mine", "lse", "mine"), Listener())
    renamed = of("The two", "My own", "lse", "mine")
    assert run_compare(chosen, renamed, Listener()) == first
    turned = of("The two", "My own", "mine", "lse")
    assert with_recorded_texts(turned, first).stacks["both"].title == "The two"


def test_texts_of_a_task_and_no_more_of_it(records: list[RunRecord]) -> None:
    task = REGISTRY.tasks["latch"]
    changed = task.model_copy(update={"title": "Another title", "doc": "Another text."})
    registry = replace(with_mine(), tasks={**REGISTRY.tasks, "latch": changed})
    assert with_recorded_texts(registry, records).tasks["latch"] == task
    longer = changed.model_copy(update={"options": {**task.options, "length": 30}})
    registry = replace(with_mine(), tasks={**REGISTRY.tasks, "latch": longer})
    got = with_recorded_texts(registry, records).tasks["latch"]  # options are the plan's, too
    assert (got.title, got.options["length"]) == (task.title, 30)


def test_what_decides_is_all_but_texts() -> None:
    fields = set(EnergySpec.model_fields) - {f for text in TEXTS for f in text} | {"parameters"}
    assert {EnergySpec.model_fields[name].alias or name for name in fields} == set(
        json.loads(deciding(with_mine().energies["mine"]))
    )


def test_a_comparison_goes_on(tmp_path: Path) -> None:
    first = run_compare(plan(tmp_path / "c"), with_mine(), Listener())
    more = run_compare(plan(tmp_path / "c", seeds=2), with_mine(**TEXTS[0]), Listener())
    assert {record.key for record in first} < {record.key for record in more}
    assert len(more) == 2 * len(first)
    assert len({record.config_hash for record in more}) == len(first)


def test_a_search_goes_on(tmp_path: Path) -> None:
    plain = SearchPlan(
        study="s", folder=str(tmp_path / "s"), task="latch", variants=("softmax", "mine"),
        trials=2, finalists=0, workers=0, train_steps=1,
        fix={"valid_instances": 8, "test_instances": 8},
    )  # fmt: skip
    first = run_search(plain, with_mine(), Listener())
    renamed = with_mine(**TEXTS[0])
    more = run_search(plain.model_copy(update={"trials": 3}), renamed, Listener(), resume=True)
    assert {record.key for record in first} < {record.key for record in more}
    assert {r.config.layer.title for r in more if r.config.variant == "mine"} <= {"Mine"}
