from __future__ import annotations

import math

import pytest

from attenergy.registry import load_registry
from attenergy.search.comparison.configure import CHOOSING_SEED
from attenergy.search.discovery.filters.fingerprint import fingerprint_of
from attenergy.search.discovery.formulas import Candidate
from attenergy.search.discovery.ladder.rungs import Ladder
from attenergy.search.discovery.population.individual import Individual
from attenergy.search.discovery.study.attributes import result_of, values_of
from attenergy.search.discovery.study.climb import Climb
from attenergy.search.runs.config import RunConfig, RunRecord

REGISTRY = load_registry(plugins=False)
LADDER = Ladder.of(["latch"], REGISTRY)
SOFTMAX = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")
METRICS = {"denoising": "explained", "latch": "accuracy"}


def one() -> Individual:
    fingerprint = fingerprint_of(SOFTMAX)
    assert fingerprint is not None
    return Individual(0, "evolved", SOFTMAX, fingerprint)


def record(config: RunConfig, score: float) -> RunRecord:
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status="complete" if math.isfinite(score) else "diverged",
        metrics={"valid": {METRICS[config.task]: score}} if math.isfinite(score) else {},
        cost={"forward_flops": 300.0, "seconds": 2.0},
    )


def climb_first_rung(climb: Climb, score: float) -> list[RunConfig]:
    runs = []
    while climb.rung is not None:
        runs.append(climb.config)
        climb.take(record(climb.config, score - 0.01 * len(runs)))
    return runs


def test_settings_are_searched_on_the_first_rung_and_used_on_the_next() -> None:
    climb = Climb(one(), LADDER, 3, 100.0)
    runs = climb_first_rung(climb, 0.9)
    assert len(runs) == len({run.run_key() for run in runs}) == len(climb.runs) > 5
    assert {run.task for run in runs} == {"denoising"}
    assert {run.seed for run in runs} == {CHOOSING_SEED}  # none of the finals', whatever `seed` is
    climb.decide([climb.individual])
    assert climb.rung is LADDER.rungs[1]
    climb.take(record(climb.config, 0.8))
    climb.decide([climb.individual])
    assert climb.individual.ended
    assert list(climb.individual.scores) == ["denoising", LADDER.names[1]]
    assert climb.individual.cost == 3.0
    assert climb.individual.seconds == 2.0 * len(climb.runs)
    values = values_of(climb.individual, LADDER.names)
    assert values is not None
    assert 1 < values[0] < 2
    assert values[1:] == [3.0, SOFTMAX.length]


@pytest.mark.parametrize("name", ["linear_attention", "lse", "entmax"])
def test_whole_runs_of_the_registry_are_of_its_entries_as_they_are_written(name: str) -> None:
    """What a formula of the search says of one has its field at another place, or none."""
    entry = REGISTRY.energies[name]
    candidate = Candidate.from_entry(entry)
    assert candidate is not None
    fingerprint = fingerprint_of(candidate)
    assert fingerprint is not None
    individual = Individual(0, "registry", candidate, fingerprint, operation=name)
    climb = Climb(individual, LADDER, 3, 100.0, entry=entry)
    first = climb_first_rung(climb, 0.9)
    assert all(run.layer != entry for run in first)
    climb.decide([climb.individual])
    whole = climb.config
    assert (whole.layer, whole.variant, whole.task) == (entry, name, "latch")
    assert not whole.settings.keys() & entry.parameters.keys()
    climb.take(record(whole, 0.8))
    assert climb.individual.scores.keys() == {"denoising", "latch"}


def test_the_same_scores_ask_for_the_same_runs() -> None:
    keys = [
        [run.run_key() for run in climb_first_rung(Climb(one(), LADDER, seed, 1.0), 0.9)]
        for seed in (0, 0, 1)
    ]
    assert keys[0] == keys[1] != keys[2]


def test_what_is_far_behind_its_rivals_is_tried_less() -> None:
    free, held = Climb(one(), LADDER, 0, 1.0), Climb(one(), LADDER, 0, 1.0, bar=0.9)
    assert len(climb_first_rung(held, 0.2)) < len(climb_first_rung(free, 0.2))


def test_without_a_score_it_goes_no_further() -> None:
    climb = Climb(one(), LADDER, 0, 1.0)
    while climb.rung is not None:
        climb.take(record(climb.config, -math.inf))
    climb.decide([climb.individual])
    assert climb.individual.ended
    assert values_of(climb.individual, LADDER.names) is None
    assert result_of(climb.individual, climb.runs)["scores"] == {"denoising": None}
    with pytest.raises(RuntimeError, match="has ended"):
        _ = climb.config
