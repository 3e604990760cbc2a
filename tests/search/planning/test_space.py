from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from attenergy.attention import make_layer
from attenergy.energies import describe
from attenergy.registry import (
    EnergySpec,
    MissingPackage,
    Range,
    Registry,
    Scalar,
    UnknownName,
    load_registry,
)
from attenergy.search.planning import ranges
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig
from attenergy.search.study.run import run_search
from attenergy.search.training.train import train
from attenergy.tasks import needs_data

PlanMaker = Callable[..., SearchPlan]

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture
def full(registry: Registry, make_plan: PlanMaker) -> Space:
    """The tiny task with every variant of the registry."""
    return Space(registry, make_plan(variants=()))


def suggestions(space: Space, count: int) -> list[tuple[dict[str, Any], RunConfig]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(count)]
    configs = [space.suggest(trial) for trial in trials]
    return [(trial.params, config) for trial, config in zip(trials, configs, strict=True)]


def test_names_come_from_the_registry(full: Space, registry: Registry) -> None:
    assert full.choices["variant"].choices == (*registry.energies, *registry.mixers)
    lse = [name for name in full.choices if name.startswith("lse.")]
    assert lse == ["lse.beta", "lse.steps", "lse.step_size"]
    assert full.choices["rbm.prior"].choices == tuple(
        registry.energies["rbm"].choices["prior"].options
    )
    assert "graph_hopfield.graph" in full.choices
    assert "graph_hopfield.graph_seed" not in full.choices, "it has no range"
    assert full.choices["graph_hopfield.solver"].choices == ("descent", "semi_implicit")
    assert "lse.solver" not in full.choices, "it offers one solver"
    assert {"heads", "learning_rate"} < set(full.choices)
    assert not [name for name in full.choices if name.startswith("softmax.")]


@pytest.mark.long
def test_every_suggestion_is_a_layer(full: Space, registry: Registry) -> None:
    seen = set()
    for params, config in suggestions(full, 400):
        seen.add(config.variant)
        assert config.layer == registry.layer(config.variant)
        assert config.model.heads == params["heads"]
        assert config.training.learning_rate == params["learning_rate"]
        own = {n.partition(".")[2]: v for n, v in params.items() if "." in n}
        assert own == config.settings
        sizes: Any = {"embed_dim": config.model.width, "num_heads": config.model.heads}
        sizes |= {} if isinstance(config.layer, EnergySpec) else {"length": 9}
        layer = make_layer(config.layer, **sizes, **dict(config.settings))
        assert layer(torch.randn(2, 9, 16)).shape == (2, 9, 16)
        again = RunConfig.model_validate_json(config.model_dump_json(by_alias=True))
        assert again.run_key() == config.run_key()
    assert seen == set(full.choices["variant"].choices or ())


def test_the_step_size_is_asked_for_where_it_matters(full: Space) -> None:
    for _, config in suggestions(full, 60):
        if isinstance(config.layer, EnergySpec):
            several = config.settings["steps"] > 1  # type: ignore[operator]
            without_weights = not describe(config.layer)["score_path"]
            matters = several or config.layer.read == "state" or without_weights
            searched = config.layer.step_size.search is not None
            assert ("step_size" in config.settings) == (searched and matters)


def test_a_fixed_step_size_counts_where_the_steps_are_searched(
    registry: Registry, make_plan: PlanMaker
) -> None:
    space = Space(registry, make_plan(variants=("lse",), fix={"lse.step_size": 0.5}))
    drawn = [c.settings for _, c in suggestions(space, 20) if c.variant == "lse"]
    assert {settings["steps"] for settings in drawn} > {1, 2}
    assert all(settings["step_size"] == 0.5 for settings in drawn)


@pytest.mark.parametrize(
    ("span", "inside", "outside"),
    [
        (Range(choices=(True, False)), True, 1),
        (Range(choices=(0, 1)), 1, True),
        (Range(low=0, high=4), 1, True),
        (Range(low=0.0, high=1.0), 1.0, True),
    ],
)
def test_true_is_not_offered_as_one(span: Range, inside: Scalar, outside: Scalar) -> None:
    form = ranges.distribution(span)
    assert ranges.offers(form, inside)
    assert not ranges.offers(form, outside)


def test_a_task_without_training_is_searched(make_plan: PlanMaker) -> None:
    """`retrieval` has 0 steps, which no warm-up fits into."""
    space = Space(load_registry(plugins=False), make_plan(task="retrieval", variants=("lse",)))
    config = space.suggest(optuna.trial.FixedTrial({"variant": "softmax"}))
    assert config.training.steps == 0
    small = {"valid_instances": 8, "test_instances": 8}
    training = config.training.model_copy(update=small)
    record = train(config.model_copy(update={"training": training}))
    assert record.status == "complete", record.reason
    assert [point["step"] for point in record.curve] == [0]


def test_the_baseline_is_always_in(registry: Registry, make_plan: PlanMaker) -> None:
    space = Space(registry, make_plan(variants=("lse",)))
    assert space.choices["variant"].choices == ("lse", "softmax")
    assert space.baseline() == {"variant": "softmax", "heads": 2, "learning_rate": 3e-3}


def test_an_energy_as_baseline_starts_as_registered(
    registry: Registry, make_plan: PlanMaker
) -> None:
    space = Space(registry, make_plan(variants=("lse",), baseline="lse"))
    assert space.baseline() == {
        "variant": "lse",
        "lse.beta": pytest.approx(8**-0.5),  # heads of width 16 / 2
        "lse.steps": 1,
        "lse.step_size": 1.0,
        "heads": 2,
        "learning_rate": 3e-3,
    }
    config = space.suggest(optuna.trial.FixedTrial(space.baseline()))
    assert set(config.settings) == {"beta", "steps"}


def test_fixed_quantities_are_not_asked_for(registry: Registry, make_plan: PlanMaker) -> None:
    fix = {"heads": 4, "lse.steps": 3, "lse.beta": "1/sqrt(D)", "rbm.prior": "spin", "mlp": 8}
    space = Space(registry, make_plan(variants=("lse", "rbm"), fix=fix))
    assert set(space.baseline()) == {"variant", "learning_rate"}
    seen = set()
    for params, config in suggestions(space, 20):
        assert not set(params) & set(fix)
        assert (config.model.heads, config.model.mlp) == (4, 8)
        seen.add(config.variant)
        if config.variant == "lse":
            assert config.settings["steps"] == 3
            assert config.settings["beta"] == "1/sqrt(D)"
            assert "step_size" in config.settings
        if config.variant == "rbm":
            assert config.settings["prior"] == "spin"
    assert seen == {"lse", "rbm", "softmax"}


def test_a_fixed_variant_leaves_the_baseline_beside_it(
    registry: Registry, make_plan: PlanMaker
) -> None:
    space = Space(registry, make_plan(variants=(), fix={"variant": "hyla"}))
    assert space.choices["variant"].choices == ("softmax", "hyla")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fix": {"lse.bta": 1.0}}, r"no quantity to fix 'lse.bta' \(did you mean 'lse.beta'\?\)"),
        ({"fix": {"steps": 9}}, "no quantity to fix 'steps'"),
        ({"fix": {"rbm.prior": "spins"}}, "cannot fix rbm.prior to 'spins'; known: binary, spin"),
        (
            {"fix": {"lse.solver": "sequentail"}},
            "cannot fix lse.solver to 'sequentail'; known: descent, coordinate_descent, fixed",
        ),
        ({"fix": {"lse.solver": "implicit"}}, "cannot fix lse.solver to 'semi_implicit'"),
        ({"fix": {"heads": 3}}, "3 heads do not divide width 16"),
        ({"fix": {"width": 6}}, "4 heads do not divide width 6"),
        ({"fix": {"positions": "round"}}, "cannot fix positions to 'round': Input should be"),
        ({"fix": {"warmup": 6}}, "a warm-up of 6 updates"),
        ({"variants": ("lsee",)}, r"no energy or mixer 'lsee' \(did you mean 'lse'\?\)"),
        ({"baseline": "softmx"}, "did you mean 'softmax'"),
        ({"task": "tinny"}, r"no task 'tinny' \(did you mean 'tiny'\?\)"),
    ],
)
def test_what_cannot_be_is_refused(
    registry: Registry, make_plan: PlanMaker, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Space(registry, make_plan(**{"variants": ("lse", "rbm"), **changes}))


def test_a_space_names_fields_of_the_task(registry: Registry, make_plan: PlanMaker) -> None:
    registry.spaces["tiny"]["hedas"] = Range(choices=(1, 2))
    with pytest.raises(UnknownName, match=r"space 'tiny'\) 'hedas' \(did you mean 'heads'\?\)"):
        Space(registry, make_plan())


def test_another_space_may_be_searched(make_plan: PlanMaker) -> None:
    """`sizes` varies the model too; every task of the default space can be built in it."""
    registry = load_registry(plugins=False)
    space = Space(registry, make_plan(task="raven-small", space="sizes"))
    configs = [config for _, config in suggestions(space, 30)]
    assert {config.model.width for config in configs} == {32, 64, 128}
    assert {config.model.layers for config in configs} == {1, 2, 3}
    assert all(config.task_spec == registry.task("raven-small") for config in configs)
    for name, task in registry.tasks.items():
        if task.space == "default" and not needs_data(task):
            with suppress(MissingPackage):
                Space(registry, make_plan(task=name, space="sizes"))
    with pytest.raises(UnknownName, match=r"space 'size' \(did you mean 'sizes'\?\)"):
        Space(registry, make_plan(task="raven-small", space="size"))


def test_the_tasks_own_values_are_in_the_space(make_plan: PlanMaker) -> None:
    """The default space offers 4 or 8 heads, but stacked recall has 1."""
    space = Space(load_registry(plugins=False), make_plan(task="stacked-recall"))
    assert space.choices["heads"].choices == (4, 8, 1)
    assert space.baseline()["heads"] == 1


def test_fewer_steps_shorten_the_warm_up(registry: Registry, make_plan: PlanMaker) -> None:
    space = Space(registry, make_plan(train_steps=4))
    config = space.suggest(optuna.trial.FixedTrial(space.baseline()))
    training = config.training
    assert (training.steps, training.warmup, training.evaluate_every) == (4, 1, 4)
    assert config.with_steps(None) is config
    assert config.with_steps(8).training.warmup == 1


@pytest.mark.parametrize(
    ("span", "form"),
    [
        (Range(low=1, high=4), IntDistribution(1, 4)),
        (Range(low=1, high=8, log=True), IntDistribution(1, 8, log=True)),
        (Range(low=2, high=9, step=3), IntDistribution(2, 8, step=3)),
        (Range(low=0.1, high=10, log=True), FloatDistribution(0.1, 10, log=True)),
        (Range(low=0, high=1, step=0.3), FloatDistribution(0, 0.9, step=0.3)),
        (Range(choices=("a", 2)), CategoricalDistribution(("a", 2))),
    ],
)
def test_ranges_in_optunas_words(span: Range, form: optuna.distributions.BaseDistribution) -> None:
    assert ranges.distribution(span) == form


def test_definitions_ignore_words_and_ranges(registry: Registry) -> None:
    lse = registry.energies["lse"]
    beta = lse.parameters["beta"]
    searched = beta.model_copy(update={"search": Range(low=0.5, high=1.0), "doc": "new"})
    same = lse.model_copy(update={"title": "New", "parameters": {"beta": searched}})
    assert ranges.definition(same) == ranges.definition(lse)
    started = beta.model_copy(update={"init": 2.0})
    for changes in ({"parameters": {"beta": started}}, {"formula": "0.5*|xi|^2"}):
        assert ranges.definition(lse.model_copy(update=changes)) != ranges.definition(lse)


@pytest.mark.parametrize(
    ("fix", "message"),
    [
        ({"lse.steps": "two"}, r"cannot fix lse\.steps=two: "),
        ({"lse.beta": -3}, r"cannot fix lse\.beta=-3: .*'beta' must be above 0, got -3"),
        ({"heads": "many"}, "cannot fix heads to 'many'"),
    ],
)
def test_a_fixed_value_that_fits_nothing_is_told_before_anything_runs(
    registry: Registry, make_plan: PlanMaker, watcher: Any, fix: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_search(make_plan(variants=("lse",), fix=fix), registry, watcher)
    assert not watcher.phases
    assert not Path(make_plan().folder).exists()


@pytest.mark.parametrize(
    ("span", "wrong"),
    [
        ({"low": 1, "high": 2}, None),
        ({"low": 1, "high": 3}, 3),
        ({"low": 2, "high": 3}, 3),
        ({"low": 3, "high": 3}, 3),
        ({"low": 2, "high": 4, "step": 2}, None),
        ({"low": 2, "high": 6, "step": 2}, 6),
        ({"low": 2, "high": 5, "step": 2}, None),  # the grid ends at 4
    ],
)
def test_every_number_of_heads_up_to_the_top_of_its_range_is_checked(
    registry: Registry, make_plan: PlanMaker, span: dict[str, int], wrong: int | None
) -> None:
    registry.spaces["few"] = {"heads": Range(**span)}
    plan = make_plan(space="few")
    if wrong is not None:
        with pytest.raises(ValueError, match=f"{wrong} heads do not divide width 16"):
            Space(registry, plan)
        return
    form = Space(registry, plan).distributions()["heads"]
    assert isinstance(form, IntDistribution)
    numbers = range(form.low, form.high + 1, form.step)
    assert max(numbers) == span["high"] - (span["high"] - span["low"]) % span.get("step", 1)
    assert all(ranges.offers(form, number) for number in numbers)
    assert not ranges.offers(form, form.high + form.step)
