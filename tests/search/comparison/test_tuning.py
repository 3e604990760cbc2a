"""Equal tuning and the race of a comparison; scores are played, nothing is trained."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer import BadParameter

from attenergy.registry import ArgumentError, Registry, UnknownName
from attenergy.search.cli.parameters.values import grid
from attenergy.search.comparison.compare import run_compare
from attenergy.search.comparison.tuning import tuned_runs
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.results.sequential import least_seeds
from attenergy.search.results.study_folder import read_study
from attenergy.search.results.tuning import tuning_notes
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.study import run as study

Play = Callable[[Callable[[RunConfig], list[float]]], None]
GRID = {"weight_decay": (0.0, 0.1, 0.3), "learning_rate": (1e-3, 3e-3)}
BEST = {"softmax": (0.1, 3e-3), "hyla": (0.3, 1e-3)}


@pytest.fixture
def playing(play: Play, monkeypatch: pytest.MonkeyPatch) -> Play:
    """`hyla` does better with what suits it, and every variant has a best pair of its own."""

    def start(curve: Callable[[RunConfig], list[float]]) -> None:
        play(curve)
        monkeypatch.setattr(
            "attenergy.search.comparison.compare.make_executor", study.make_executor
        )

    return start


def planted(config: RunConfig) -> list[float]:
    pair = (config.training.weight_decay, config.training.learning_rate)
    tuned = 0.2 if pair == BEST.get(config.variant) else 0.0
    noise = random.Random(config.run_key()).gauss(0, 0.005)
    return [0.5 + tuned + (0.1 if config.variant == "hyla" else 0.0) + noise]


def plan(folder: Path, **changes: Any) -> ComparePlan:
    fields = {"name": "c", "folder": str(folder), "task": "tiny", "workers": 0, "tune": GRID}
    return ComparePlan.model_validate({**fields, "variants": tuple(BEST), "seeds": 2, **changes})


def test_every_variant_tries_the_same_grid_and_takes_its_best(
    registry: Registry, tmp_path: Path, watcher: Any, playing: Play
) -> None:
    playing(planted)
    records = run_compare(plan(tmp_path / "c"), registry, watcher)
    tried = Counter(r.config.variant for r in records if r.purpose == "trial")
    assert tried == {"softmax": 6, "hyla": 6}
    finals = [r.config for r in records if r.purpose == "compare"]
    assert {c.variant: (c.training.weight_decay, c.training.learning_rate) for c in finals} == BEST
    assert {c.seed for c in finals} == {1, 2}, "not the seed that chose"
    assert watcher.phases[:2] == [("tuning", 0, 12), ("seeds", 0, 4)]
    edge = "of the list; a wider list may do better"
    assert set(watcher.messages) == {
        f"the best learning_rate of softmax, 0.003, is the largest {edge}",
        f"the best weight_decay of hyla, 0.3, is the largest {edge}",
        f"the best learning_rate of hyla, 0.001, is the smallest {edge}",
    }
    notes = read_study(tmp_path / "c").leaderboard().notes
    assert (
        "Tuning, the same for every variant: learning_rate 0.001, 0.003 x weight_decay 0, 0.1, 0.3 "
        "(6 runs each, by `valid`)."
    ) in notes
    assert (
        "Chosen: softmax learning_rate=0.003 weight_decay=0.1; hyla learning_rate=0.001 "
        "weight_decay=0.3."
    ) in notes
    assert f"The best weight_decay of hyla, 0.3, is the largest {edge}." in notes


def test_unequal_tuning_and_none_are_said(make_record: Any) -> None:
    def final(variant: str, rate: float) -> RunRecord:
        return make_record(variant, (0.5,), seed=1, purpose="compare", rate=rate)

    finals = [final("softmax", 1e-3), final("lse", 3e-3)]
    assert tuning_notes(finals)[0].startswith("Tuning: none; all variants have the same rates")
    tried = [make_record("softmax", (0.5,), rate=rate) for rate in (1e-3, 3e-3)]
    tried += [make_record("lse", (0.5,), rate=rate) for rate in (1e-3, 3e-3, 1e-2)]
    unequal = tuning_notes([*tried, *finals])
    assert unequal[0] == "Tuning: not the same for all; runs of each: softmax 2, lse 3."
    assert any("The best learning_rate of softmax, 0.001, is the smallest" in n for n in unequal)
    assert not any("of lse" in note for note in unequal), "its best lies inside"
    assert tuning_notes(tried) == [], "a search is no comparison"
    untrained = [replace_steps(record) for record in (final("softmax", 1e-3), final("lse", 1e-3))]
    assert tuning_notes(untrained) == []


def replace_steps(record: RunRecord) -> RunRecord:
    training = record.config.training.model_copy(update={"steps": 0})
    return record.model_copy(
        update={"config": record.config.model_copy(update={"training": training})}
    )


@pytest.mark.parametrize(
    ("tune", "error", "text"),
    [
        ({"weight_decy": (0.1,)}, UnknownName, r"tune 'weight_decy' \(did you mean 'weight_decay'"),
        ({"weight_decay": (0.1, -1.0)}, ArgumentError, "weight_decay"),
        ({"optimizer": ("adamw", "adam")}, ArgumentError, "optimizer"),
    ],
)
def test_mistakes_in_the_grid_show_before_anything_runs(
    registry: Registry, tmp_path: Path, watcher: Any, tune: Any, error: Any, text: str
) -> None:
    with pytest.raises(error, match=text):
        run_compare(plan(tmp_path / "c", tune=tune), registry, watcher)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fix": {"optimizer": "muon"}, "learning_rates": (1e-3, 3e-3)}, True),
        ({"fix": {"optimizer": "muon"}, "tune": {"learning_rate": (1e-3, 3e-3)}}, True),
        (
            {
                "fix": {"optimizer": "muon"},
                "tune": {"learning_rate": (1e-3,), "muon_learning_rate": (0.01,)},
            },
            False,
        ),
        ({"learning_rates": (1e-3, 3e-3)}, False),
    ],
)
def test_a_rate_that_is_not_that_of_the_matrices_is_said(
    registry: Registry,
    tmp_path: Path,
    watcher: Any,
    playing: Play,
    changes: dict[str, Any],
    said: bool,
) -> None:
    playing(planted)
    run_compare(plan(tmp_path / "c", **{"tune": {}, "seeds": 1, **changes}), registry, watcher)
    texts = [text for text in watcher.messages if "learning_rate is AdamW's alone" in text]
    assert bool(texts) == said


def test_a_rate_that_nothing_uses_multiplies_no_runs(
    registry: Registry, tmp_path: Path, watcher: Any, playing: Play
) -> None:
    playing(planted)
    rates = {"muon_learning_rate": (0.01, 0.02), "weight_decay": (0.0, 0.1)}
    records = run_compare(plan(tmp_path / "c", tune=rates), registry, watcher)
    assert sum(r.purpose == "trial" for r in records) == 4, "two decays for each of two variants"
    assert watcher.messages[0] == "tiny is trained by AdamW: muon_learning_rate is left as it is"
    both = {"muon_learning_rate": (0.01, 0.03), "optimizer": ("adamw", "muon")}
    runs = tuned_runs(plan(tmp_path, tune=both), registry, "softmax")
    tried = [(r.training.optimizer, r.training.muon_learning_rate) for r in runs]
    assert sorted(tried) == [("adamw", 0.02), ("muon", 0.01), ("muon", 0.03)]


def test_a_grid_is_read_from_the_command_line() -> None:
    texts = ["weight_decay=.03, 1e-1", "optimizer=adamw,muon"]
    assert grid(texts, "--tune") == {"weight_decay": (0.03, 0.1), "optimizer": ("adamw", "muon")}
    for wrong in ("weight_decay", "weight_decay=", "=1", "weight_decay=,"):
        with pytest.raises(BadParameter, match="is not NAME=A,B"):
            grid([wrong], "--tune")
    with pytest.raises(BadParameter, match="given twice"):
        grid(["a=1", "a=2"], "--tune")


def test_an_untrained_task_is_left_alone(
    registry: Registry, tmp_path: Path, watcher: Any, playing: Play
) -> None:
    playing(planted)
    tiny = registry.tasks["tiny"]
    still = tiny.model_copy(update={"training": tiny.training.model_copy(update={"steps": 0})})
    changed = replace(registry, tasks={**registry.tasks, "tiny": still})
    records = run_compare(plan(tmp_path / "c", steps=300), changed, watcher)
    assert {r.purpose for r in records} == {"compare"}, "nothing was tuned"
    assert all(r.config.training == still.training for r in records)
    assert watcher.messages[0] == (
        "tiny is not trained: steps, weight_decay, learning_rate left as they are"
    )


def test_a_comparison_without_a_number_of_seeds_races(
    registry: Registry, tmp_path: Path, watcher: Any, playing: Play
) -> None:
    playing(lambda c: [planted(c)[0] - (0.2 if c.variant == "softmax" else 0.0)])  # its defaults
    fields = plan(tmp_path / "c", tune={}, variants=("softmax", "linear", "hyla")).model_dump()
    fields = {n: v for n, v in fields.items() if n not in ("seeds", "final_budget")}
    records = run_compare(ComparePlan(**fields), registry, watcher)
    seeds = Counter(r.config.variant for r in records)
    assert seeds["hyla"] == least_seeds(2), "far better, and decided"
    assert seeds["linear"] == seeds["softmax"] > 12, "has what `hyla` left"
    assert 35 <= sum(seeds.values()) <= 36
    phases = [name for name, _, _ in watcher.phases]
    assert phases[:2] == ["seeds", "finals, seeds 6 to 7: linear, hyla (undecided)"]
    assert watcher.messages == [
        f"the finals end after {sum(seeds.values())} runs, with the budget spent; undecided: linear"
    ]
    assert len(records) == len(run_compare(ComparePlan(**fields), registry, watcher))


def test_an_interrupted_race_goes_on(
    registry: Registry, tmp_path: Path, watcher: Any, playing: Play
) -> None:
    playing(planted)
    wanted = plan(tmp_path / "c", tune={}, final_budget="14runs")
    whole = run_compare(plan(tmp_path / "w", tune={}, final_budget="14runs"), registry, watcher)

    class Stop(type(watcher)):  # type: ignore[misc]
        def finished(self, record: RunRecord) -> None:
            self.records.append(record)
            if len(self.records) == 7:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_compare(wanted, registry, Stop())
    again = run_compare(wanted, registry, watcher)
    assert {r.key for r in again} == {r.key for r in whole}
