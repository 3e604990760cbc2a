from __future__ import annotations

import math

import pytest

from attenergy.registry import load_registry
from attenergy.search.discovery.formulas import Candidate
from attenergy.search.discovery.ladder.rungs import Ladder
from attenergy.search.runs.config import RunConfig, RunRecord
from attenergy.search.training.train import train

REGISTRY = load_registry(plugins=False)


SOFTMAX = Candidate.from_formula("0.5*|xi|^2 - lse(beta * X @ xi)/beta")


def ladder(*tasks: str) -> Ladder:
    return Ladder.of(tasks, REGISTRY)


def record_of(config: RunConfig, status: str = "complete", **metrics: float) -> RunRecord:
    return RunRecord(
        key=config.run_key(),
        config_hash=config.config_hash(),
        config=config,
        status=status,
        metrics={"valid": metrics},
    )


def test_rungs_go_from_cheap_to_dear() -> None:
    rungs = ladder("stacked-recall", "raven-small").rungs
    assert [(rung.name, rung.task, rung.steps, rung.share, rung.trained) for rung in rungs] == [
        ("denoising", "denoising", 0, 1.0, False),
        ("stacked-recall@375", "stacked-recall", 375, 0.25, True),
        ("stacked-recall", "stacked-recall", 1500, 1.0, True),
        ("raven-small@400", "raven-small", 400, 0.25, True),
        ("raven-small", "raven-small", 1600, 1.0, True),
    ]


def test_short_tasks_and_tasks_without_training_have_one_rung() -> None:
    assert ladder("denoising", "stacked-recall-small", "retrieval").names == (
        "denoising",
        "stacked-recall-small",
        "retrieval",
    )


def test_a_ladder_needs_tasks_that_are_there() -> None:
    with pytest.raises(ValueError, match="a ladder needs a task to train on, got none"):
        ladder()
    with pytest.raises(ValueError, match="did you mean 'raven-small'"):
        ladder("raven-smal")


def test_the_run_of_a_formula() -> None:
    few = ladder("stacked-recall").rung("stacked-recall@375")
    settings = {"beta": 2.0, "steps": 2, "number_0": 0.7}
    config = few.config(SOFTMAX, settings, seed=3)
    assert config.settings == {"steps": 2}  # beta is learned, from its own initial value
    other = Candidate.from_formula("0.7*|xi|^2 - lse(beta * X @ xi)/beta")
    assert config.layer.formula == other.with_field().formula
    assert config.variant == f"discovered-{other.key}"
    assert (config.training.steps, config.training.warmup, config.seed) == (375, 50, 3)
    assert config.pause is None  # a whole run with fewer steps: its learning rate falls to 0
    assert config.task_spec == REGISTRY.tasks["stacked-recall"]
    # the number may be in the formula or in the settings: it is one run
    same = few.config(other, {"beta": 2.0, "steps": 2}, seed=3)
    assert same.run_key() == config.run_key()
    assert few.config(SOFTMAX, {}, 0).layer.formula == SOFTMAX.with_field().formula


def test_initial_values_are_for_rungs_without_training() -> None:
    first, few, full = ladder("stacked-recall").rungs
    settings = {"beta": 2.0, "step_size": 0.5}
    assert first.config(SOFTMAX, settings, 0).settings == settings
    assert few.config(SOFTMAX, settings, 0).settings == {"step_size": 0.5}
    assert full.config(SOFTMAX, settings, 0).settings == {"step_size": 0.5}


def test_scores_lie_between_chance_and_ceiling() -> None:
    rung = ladder("stacked-recall").rung("stacked-recall")
    config = rung.config(SOFTMAX, {}, 0)
    assert rung.score(record_of(config, accuracy=1 / 64)) == pytest.approx(0)
    assert rung.score(record_of(config, accuracy=1.0)) == pytest.approx(1)
    assert rung.score(record_of(config, accuracy=(1 + 1 / 64) / 2)) == pytest.approx(0.5)
    assert rung.score(record_of(config, accuracy=0.0)) < 0


def test_runs_without_a_score() -> None:
    rung = ladder("stacked-recall").rung("stacked-recall")
    config = rung.config(SOFTMAX, {}, 0)
    for status in ("diverged", "failed", "pruned"):
        assert rung.score(record_of(config, status, accuracy=0.9)) == -math.inf
    assert rung.score(record_of(config)) == -math.inf
    assert rung.score(record_of(config, accuracy=math.nan)) == -math.inf


def test_the_first_rung_is_climbed_by_the_best_estimate() -> None:
    rung = ladder("raven-small").rungs[0]
    scores = {}
    for beta in (0.25, 1.5625):
        record = train(rung.config(SOFTMAX, {"beta": beta}, 0))
        assert record.status == "complete", record.reason
        scores[beta] = rung.score(record)
    assert scores[1.5625] == pytest.approx(1, abs=1e-5)
    assert scores[0.25] < 0.6
