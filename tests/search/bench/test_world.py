"""Worlds: who answers a proposal, with what curve, and what is true."""

from __future__ import annotations

from statistics import fmean

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attenergy.registry import ArgumentError, UnknownName
from attenergy.search.bench.world import World
from attenergy.search.runs.config import RunConfig
from tests.search.bench.conftest import RATES, SHORT, STEPS, VARIANTS, planted_table, truth


def config_of(world: World, variant: str = "lse", rate: float = 1e-2, seed: int = 0) -> RunConfig:
    params = {**world.space.defaults(variant), "variant": variant, "learning_rate": rate}
    config = world.space.suggest(optuna.trial.FixedTrial(params))
    return config.model_copy(update={"seed": seed}).with_steps(STEPS)


def test_the_true_scores_are_the_means_of_full_runs(world: World) -> None:
    assert world.best == pytest.approx(0.8)
    assert world.mean == pytest.approx(0.5)
    for variant in VARIANTS:
        for rate in RATES:
            assert world.truth(config_of(world, variant, rate)) == pytest.approx(
                truth(variant, rate)
            )


@given(
    variant=st.sampled_from(VARIANTS),
    rate=st.floats(1e-3, 1e-2),
    heads=st.sampled_from([4, 8]),
)
@settings(max_examples=30, deadline=None)
def test_a_proposal_is_answered_by_the_nearest_of_its_variant(
    world: World, variant: str, rate: float, heads: int
) -> None:
    place = world.nearest({"variant": variant, "learning_rate": rate, "heads": heads})
    answer = world.table.configs[place].params
    assert answer["variant"] == variant
    nearest = min(RATES, key=lambda each: abs(each / rate - 1 if each > rate else rate / each - 1))
    assert answer["learning_rate"] == nearest


def test_what_is_measured_is_its_own_nearest(world: World) -> None:
    for place, config in enumerate(world.table.configs):
        assert world.nearest(config.params) == place


def test_a_variant_that_the_table_lacks_is_refused(world: World) -> None:
    with pytest.raises(UnknownName, match="softmax"):
        world.nearest({"variant": "softmx"})


def test_a_length_that_the_table_lacks_is_refused(world: World) -> None:
    with pytest.raises(ArgumentError, match="100, 400 steps, not of 50"):
        world.draw(config_of(world).with_steps(50))
    assert world.draw(config_of(world).with_steps(SHORT)).at == (50, 100)


def test_without_noise_a_run_is_the_mean_curve(world: World) -> None:
    drawn = world.draw(config_of(world))
    assert drawn.scores == pytest.approx((0.4, 0.8, 0.8, 0.8))
    assert not drawn.diverged


def test_seeds_stray_as_much_as_the_measured_ones_and_around_the_truth() -> None:
    world = World(planted_table(noise=0.05))
    ends = [world.draw(config_of(world, seed=seed)).scores[-1] for seed in range(200)]
    # Two seeds at +-n have the unbiased deviation n sqrt(2).
    assert {round(end, 9) for end in ends} == {
        round(0.8 + sign * 0.05 * 2**0.5, 9) for sign in (-1, 1)
    }
    assert fmean(ends) == pytest.approx(0.8, abs=0.02)


def test_a_run_repeats_itself_and_another_world_has_other_seeds() -> None:
    world = World(planted_table(noise=0.05))
    runs = [config_of(world, seed=seed) for seed in range(20)]
    scores = [world.draw(run).scores for run in runs]
    assert [world.draw(run).scores for run in runs] == scores
    other = world.with_seed(1)
    assert [other.draw(run).scores for run in runs] != scores
    assert other.means == world.means


def test_a_run_that_diverges_costs_its_steps_and_is_worth_a_guess() -> None:
    table = planted_table()
    bad = [
        run.model_copy(update={"diverged": True, "at": run.at[:1], "scores": run.scores[:1]})
        if run.steps == STEPS
        else run
        for run in table.configs[-1].runs
    ]
    configs = (*table.configs[:-1], table.configs[-1].model_copy(update={"runs": tuple(bad)}))
    world = World(table.model_copy(update={"configs": configs}))
    assert world.draw(config_of(world)).diverged
    assert world.truth(config_of(world)) == pytest.approx(1 / 64)
    assert world.best == pytest.approx(0.7)


def test_runs_may_be_made_longer_all_in_proportion(world: World) -> None:
    longer = World(world.table, run_seconds=42.0)
    config = config_of(world)
    assert longer.mean_seconds(STEPS) == pytest.approx(42.0)
    for steps in (SHORT, STEPS):
        assert longer.seconds(config, steps, 1) == pytest.approx(
            2 * world.seconds(config, steps, 1)
        )
