"""The solver of an energy as a quantity of the search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import optuna
import pytest
from typer.testing import CliRunner

from attenergy.attention import EnergyAttention, make_layer
from attenergy.attention.solvers.relax import TRAINABLE
from attenergy.registry import (
    Registry,
    Solver,
    SolverChoice,
    SolverNames,
    load_registry,
)
from attenergy.search.cli.app import app
from attenergy.search.planning import ranges
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig
from attenergy.search.training.model import build_model
from attenergy.tasks import make_task

PlanMaker = Callable[..., SearchPlan]

pytestmark = pytest.mark.usefixtures("quiet")


def runs(space: Space, variant: str, count: int) -> list[RunConfig]:
    """Random suggestions, those of one variant."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [space.suggest(study.ask()) for _ in range(count)]
    return [config for config in found if config.variant == variant]


def relaxed(
    registry: Registry, name: str, *offered: Solver, default: Solver = "descent", **changes: Any
) -> None:
    """Let an energy of the registry offer solvers."""
    search = SolverNames(choices=offered) if offered else None
    changes["solver"] = SolverChoice(default=default, search=search)
    registry.energies[name] = registry.energies[name].model_copy(update=changes)


def test_the_solver_is_asked_for_where_states_move(
    registry: Registry, make_plan: PlanMaker
) -> None:
    relaxed(registry, "lse", "descent", "sequential")
    relaxed(registry, "l2_lse", "descent", "sequential", read="state")
    space = Space(registry, make_plan(variants=("lse", "l2_lse")))
    for config in [*runs(space, "lse", 60), *runs(space, "l2_lse", 60)]:
        moves = config.variant == "l2_lse" or config.settings["steps"] != 1
        assert ("solver" in config.settings) == moves
        assert ("step_size" in config.settings) == moves


@pytest.mark.parametrize("offered", [("descent", "fixed_point"), ()])
def test_a_solver_that_goes_on_to_the_end_has_no_steps_and_no_step_size(
    registry: Registry, make_plan: PlanMaker, offered: tuple[Solver, ...]
) -> None:
    relaxed(registry, "lse", *offered, default="fixed_point")
    space = Space(registry, make_plan(variants=("lse",)))
    seen = set()
    for config in runs(space, "lse", 40):
        solver = config.settings.get("solver", "fixed_point")
        seen.add(solver)
        rests = solver == "fixed_point"
        assert ("steps" in config.settings) == (not rests)
        assert not (rests and "step_size" in config.settings)
        sizes: Any = {"embed_dim": 16, "num_heads": config.model.heads}
        layer = make_layer(config.layer, **sizes, **dict(config.settings))
        assert isinstance(layer, EnergyAttention)
        assert (layer.solver, layer.steps == 100) == (solver, rests)
    assert seen == {*offered, "fixed_point"}


def test_a_layer_has_the_solver_of_its_entry_unless_told_otherwise(registry: Registry) -> None:
    sizes: Any = {"embed_dim": 16, "num_heads": 2}
    relaxed(registry, "potts", default="sequential")
    spec = registry.energies["potts"]
    for entry in (spec, "potts"):
        layer = make_layer(entry, registry=registry, **sizes)
        assert isinstance(layer, EnergyAttention)
        assert layer.solver == "sequential"
    assert make_layer(spec, solver="descent", **sizes).solver == "descent"
    assert ranges.definition(spec) != ranges.definition(load_registry().energies["potts"])


def test_the_registry_and_the_layers_know_the_same_solvers() -> None:
    assert get_args(Solver) == TRAINABLE


def test_any_solver_that_fits_can_be_fixed(registry: Registry, make_plan: PlanMaker) -> None:
    fix = {"lse.solver": "fixed_point", "gaussian_spins.solver": "sequential"}
    space = Space(registry, make_plan(variants=("lse", "gaussian_spins"), fix=fix))
    assert not any(name.endswith(".solver") for name in space.distributions())
    resting, in_turn = runs(space, "lse", 20), runs(space, "gaussian_spins", 20)
    assert {config.settings["solver"] for config in resting} == {"fixed_point"}
    assert not any("steps" in config.settings for config in resting)
    assert {config.settings["solver"] for config in in_turn} == {"sequential"}
    assert all("steps" in config.settings for config in in_turn)


def test_a_solver_that_does_not_go_with_its_energy_is_refused(
    registry: Registry, make_plan: PlanMaker
) -> None:
    relaxed(registry, "lse", "descent", "implicit")
    message = "'lse' declares the solver 'implicit', but '.*' has no quadratic term between states"
    with pytest.raises(ValueError, match=message):
        Space(registry, make_plan(variants=("lse",)))
    relaxed(registry, "polynomial", default="sequential")
    with pytest.raises(ValueError, match="'polynomial' declares the solver 'sequential', but"):
        Space(registry, make_plan(variants=("polynomial",)))


OFFERED = [
    (name, solver)
    for name, spec in load_registry(plugins=False).energies.items()
    for solver in (spec.solver.search.choices if spec.solver.search is not None else ())
]


@pytest.mark.parametrize(("name", "solver"), OFFERED)
def test_every_solver_on_offer_trains(
    registry: Registry, make_plan: PlanMaker, name: str, solver: str
) -> None:
    plan = make_plan(variants=(name,), baseline=name, fix={f"{name}.solver": solver})
    config = Space(registry, plan).reference()
    task = make_task(config.task_spec)
    model = build_model(config, task)
    assert {m.solver for m in model.modules() if isinstance(m, EnergyAttention)} == {solver}
    batch = task.batch("train", 0, 8)
    task.loss(model(batch.inputs), batch.targets).backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.abs().sum().item() for gradient in gradients) > 0


def test_some_energies_offer_solvers() -> None:
    assert {name for name, _ in OFFERED} == {
        "graph_hopfield", "gaussian_spins", "classical_hopfield",
    }  # fmt: skip


def test_a_page_of_an_energy_shows_its_solvers() -> None:
    shown = CliRunner().invoke(app, ["energies", "show", "gaussian_spins"]).stdout
    (line,) = (line for line in shown.splitlines() if line.startswith("solver"))
    assert line.split()[1:4] == ["descent", "descent,", "implicit"]
