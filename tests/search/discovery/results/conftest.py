"""A discovery that was made up: few formulas, and finals with scores that were written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from attenergy.registry import Registry, load_registry
from attenergy.search.discovery.results.discovery import (
    Ablated,
    Discovery,
    Finalist,
    Formula,
    Law,
    Rejected,
    RungPrediction,
)
from attenergy.search.planning.plan import ComparePlan
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.runs.records import RunStore

LSE = "0.5*|xi|^2 - lse(beta*X @ xi)/beta"
RUNGS = ("denoising", "stacked-recall-small", "mqar")
Scores = Mapping[str, Mapping[int, float]]  # variant -> seed -> accuracy


def formula(number: int, arm: str, text: str, **rest: object) -> Formula:
    data = {"number": number, "arm": arm, "formula": text, "length": 6 + number, "cost": 1.0}
    data |= {
        "key": f"{number:012x}",
        "seconds": 10.0,
        "niche": (number % 3, number % 2, number % 2),
    }
    return Formula.model_validate(data | rest)


def made_up() -> Discovery:
    population = (
        formula(0, "registry", LSE, entry="lse", operation="lse",
                scores={"denoising": 0.6, "stacked-recall-small": 0.5, "mqar": 0.4}),
        formula(1, "registry", "0.5*|xi|^2 - sum_n((X @ xi)^2)", entry="quadratic",
                operation="quadratic", scores={"denoising": 0.3}),
        formula(2, "random", "|xi|^2 - max_n(X @ xi)", operation="random", cost=1.4,
                scores={"denoising": 0.35, "stacked-recall-small": 0.2, "mqar": 0.1}),
        formula(3, "evolved", "|xi|^2 - lse(beta*X @ xi)", operation="number", parents=(0,),
                scores={"denoising": 0.65, "stacked-recall-small": 0.55, "mqar": 0.35}),
        formula(4, "random", "sum_n(tanh(X @ xi)) + |xi|^2", operation="random",
                scores={"denoising": -0.1}),
        formula(5, "evolved", "0.5*|xi|^2 - lse(beta*X @ xi + tanh(X @ xi))/beta",
                operation="crossover", parents=(3, 1), cost=1.2, nearest="lse", distance=0.21,
                scores={"denoising": 0.7, "stacked-recall-small": 0.8, "mqar": 0.6},
                settings={"beta": 0.7, "steps": 2, "step_size": 0.9}),
        formula(6, "evolved", "|xi|^2 - sum_n(X @ xi)", operation="remove", parents=(5,),
                scores={"denoising": float("-inf")}),
    )  # fmt: skip
    return Discovery(
        name="made-up",
        tasks=("stacked-recall-small",),
        held_out=("mqar",),
        rungs=RUNGS,
        seed=7,
        command="attenergy discover --task stacked-recall-small --candidates 4 --seed 7",
        date="2026-11-27",
        seconds=70.0,
        population=population,
        passed=Rejected(count=5),
        rejected={
            "types": Rejected(count=40, milliseconds=12.0),
            "bounded": Rejected(count=20, milliseconds=60.0),
        },
        predictions=(
            RungPrediction(rung="denoising", following="stacked-recall-small",
                           correlation=0.8, low=0.2, high=0.95, pairs=4),
            RungPrediction(rung="stacked-recall-small", following="mqar", pairs=4, used=False),
        ),
        ablations=(
            Ablated(what="nothing", formula=population[5].formula,
                    scores={"denoising": 0.7, "stacked-recall-small": 0.8}),
            Ablated(what="the factor beta", formula="0.5*|xi|^2 - lse(X @ xi)",
                    scores={"denoising": 0.5, "stacked-recall-small": 0.45}),
            Ablated(what="the term 0.5*|xi|^2", formula="-lse(beta*X @ xi)/beta",
                    reason="it is not bounded below"),
        ),
        laws=(
            Law(law="1 the energy is the truth", passed=True, figure=2e-15, note="chunked"),
            Law(law="3 known answers", note="the entry names no known answers"),
        ),
        finalists=(
            Finalist(name="softmax", role="softmax"),
            Finalist(name="lse", role="registry", number=0),
            Finalist(name="discovered_5", role="evolved", number=5),
            Finalist(name="discovered_3", role="evolved", number=3),
            Finalist(name="random_2", role="random", number=2),
        ),
    )  # fmt: skip


@pytest.fixture
def discovery() -> Discovery:
    return made_up()


@pytest.fixture(scope="session")
def known() -> Registry:
    return load_registry(plugins=False)


def write_final(folder: Path, task: str, scores: Scores, registry: Registry) -> None:
    """Write the finals on one task, with these scores on valid and on test."""
    place = folder / "finals" / task
    plan = ComparePlan(name=task, folder="", task=task, variants=tuple(scores))
    place.mkdir(parents=True)
    (place / "compare.json").write_text(plan.model_dump_json())
    spec, store = registry.tasks[task], RunStore(place)
    for variant, by_seed in scores.items():
        layer = registry.variant(variant if variant in registry.energies else "softmax")
        for seed, score in by_seed.items():
            config = RunConfig(variant=variant, layer=layer, task=task, task_spec=spec,
                               model=spec.model, training=spec.training, seed=seed)  # fmt: skip
            values = {split: {"accuracy": score} for split in ("valid", "test")}
            record = RunRecord(key=config.run_key(), config_hash=config.config_hash(),
                               config=config, status="complete", metrics=values,
                               purpose="compare")  # fmt: skip
            store.append(record)


def around(mean: float, seeds: int = 8) -> dict[int, float]:
    """Scores of seeds close to a mean."""
    return {seed: mean + 0.004 * (seed % 3 - 1) + 0.0005 * seed for seed in range(seeds)}
