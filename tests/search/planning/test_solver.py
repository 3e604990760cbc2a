"""The solver of an energy as a quantity of the search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from typer.testing import CliRunner

from attenergy.attention import EnergyAttention, make_layer
from attenergy.attention.solvers.catalogue import SOLVERS, solver_name
from attenergy.registry import (
    Registry,
    SolverChoice,
    SolverNames,
    load_registry,
)
from attenergy.search.cli.app import app
from attenergy.search.planning import ranges
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.planning.space import Space
from attenergy.search.runs.config import RunConfig
from attenergy.search.study.migration import _carry
from attenergy.search.training.model import build_model
from attenergy.tasks import make_task

PlanMaker = Callable[..., SearchPlan]

pytestmark = pytest.mark.usefixtures("quiet")


def runs(space: Space, variant: str, count: int) -> list[RunConfig]:
    """Random suggestions, those of one variant."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = [space.suggest(study.ask()) for _ in range(count)]
    return [config for config in configs if config.variant == variant]


def relaxed(
    registry: Registry, name: str, *offered: str, default: str = "descent", **changes: Any
) -> None:
    """Let an energy of the registry offer solvers."""
    search = SolverNames(choices=offered) if offered else None
    changes["solver"] = SolverChoice(default=default, search=search)
    registry.energies[name] = registry.energies[name].model_copy(update=changes)


def test_the_solver_is_asked_for_where_states_move(
    registry: Registry, make_plan: PlanMaker
) -> None:
    relaxed(registry, "lse", "descent", "coordinate_descent")
    relaxed(registry, "l2_lse", "descent", "coordinate_descent", read="state")
    space = Space(registry, make_plan(variants=("lse", "l2_lse")))
    for config in [*runs(space, "lse", 60), *runs(space, "l2_lse", 60)]:
        moves = config.variant == "l2_lse" or config.settings["steps"] != 1
        assert ("solver" in config.settings) == moves
        assert ("step_size" in config.settings) == moves


@pytest.mark.parametrize("offered", [("descent", "fixed_point"), ()])
def test_a_solver_that_goes_on_to_the_end_has_no_steps_and_no_step_size(
    registry: Registry, make_plan: PlanMaker, offered: tuple[str, ...]
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
    relaxed(registry, "potts", default="coordinate_descent")
    spec = registry.energies["potts"]
    for entry in (spec, "potts"):
        layer = make_layer(entry, registry=registry, **sizes)
        assert isinstance(layer, EnergyAttention)
        assert layer.solver == "coordinate_descent"
    assert make_layer(spec, solver="descent", **sizes).solver == "descent"
    assert ranges.definition(spec) != ranges.definition(load_registry().energies["potts"])


def test_earlier_names_are_fixed_and_offered_as_the_present_ones(
    registry: Registry, make_plan: PlanMaker
) -> None:
    relaxed(registry, "graph_hopfield", "descent", "implicit", default="descent")
    relaxed(registry, "gaussian_spins", default="sequential")
    plan = make_plan(variants=("graph_hopfield", "gaussian_spins"))
    space = Space(registry, plan)
    choices = space.choices["graph_hopfield.solver"].choices
    assert choices == ("descent", "semi_implicit")
    plan = plan.model_copy(update={"fix": {"graph_hopfield.solver": "implicit"}})
    config = Space(registry, plan).pinned()[0]
    assert config.settings["solver"] == "semi_implicit"
    plan = plan.model_copy(update={"fix": {}, "enqueue": ({"graph_hopfield.solver": "implicit"},)})
    assert Space(registry, plan).wishes[0]["graph_hopfield.solver"] == "semi_implicit"
    layer = make_layer("gaussian_spins", embed_dim=8, num_heads=2, registry=registry)
    assert isinstance(layer, EnergyAttention)
    assert layer.solver == "coordinate_descent"


def test_a_solver_of_ones_own_is_one_entry(
    registry: Registry, make_plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers, spaces and fixed values learn of it from the table."""

    class Halved(type(SOLVERS["descent"])):  # type: ignore[misc]
        summary = "steps of half the size"
        earlier_names = ("half",)

        def check(self, energy: Any) -> None:
            if energy.states_interact:
                raise ValueError(f"'{energy.spec.title}' is not halved")

    monkeypatch.setitem(SOLVERS, "halved", Halved())
    assert solver_name("half") == "halved"
    relaxed(registry, "lse", "descent", "half")
    space = Space(registry, make_plan(variants=("lse",)))
    assert space.choices["lse.solver"].choices == ("descent", "halved")
    Space(registry, make_plan(variants=("lse",), fix={"lse.solver": "halved"}))
    with pytest.raises(ValueError, match=r"cannot fix potts\.solver to 'halved'"):
        Space(registry, make_plan(variants=("potts",), fix={"potts.solver": "halved"}))
    layer = make_layer("lse", embed_dim=8, num_heads=2, registry=registry, solver="halved")
    assert isinstance(layer, EnergyAttention)
    assert layer.solver == "halved"


def test_any_solver_that_fits_can_be_fixed(registry: Registry, make_plan: PlanMaker) -> None:
    fix = {"lse.solver": "fixed_point", "gaussian_spins.solver": "coordinate_descent"}
    space = Space(registry, make_plan(variants=("lse", "gaussian_spins"), fix=fix))
    assert not any(name.endswith(".solver") for name in space.distributions())
    resting, in_turn = runs(space, "lse", 20), runs(space, "gaussian_spins", 20)
    assert {config.settings["solver"] for config in resting} == {"fixed_point"}
    assert not any("steps" in config.settings for config in resting)
    assert {config.settings["solver"] for config in in_turn} == {"coordinate_descent"}
    assert all("steps" in config.settings for config in in_turn)


def test_a_solver_that_does_not_go_with_its_energy_is_refused(
    registry: Registry, make_plan: PlanMaker
) -> None:
    relaxed(registry, "lse", "descent", "semi_implicit")
    message = (
        "'lse' declares the solver 'semi_implicit', but '.*' has no quadratic term between states"
    )
    with pytest.raises(ValueError, match=message):
        Space(registry, make_plan(variants=("lse",)))
    relaxed(registry, "polynomial", default="coordinate_descent")
    with pytest.raises(
        ValueError, match="'polynomial' declares the solver 'coordinate_descent', but"
    ):
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
    assert line.split()[1:4] == ["descent", "descent,", "semi_implicit"]


def test_a_trial_with_an_earlier_name_moves_to_the_present_one() -> None:
    """A study made under the earlier name goes on: its choices are those of the space now."""
    name = "graph_hopfield.solver"
    before = CategoricalDistribution(("descent", "implicit"))
    now = CategoricalDistribution(("descent", "semi_implicit"))
    study = optuna.create_study()
    study.add_trial(
        optuna.trial.create_trial(
            params={name: "implicit"}, distributions={name: before}, value=1.0
        )
    )
    carried = _carry(study.trials[0], study, {name: now})
    assert (carried.params, carried.distributions) == ({name: "semi_implicit"}, {name: now})
