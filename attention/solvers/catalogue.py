"""Every solver by its name. Adding one is a sub-class of `Solver` and one entry here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attenergy.attention.solvers.base import Solver
from attenergy.attention.solvers.coordinate_descent import CoordinateDescent
from attenergy.attention.solvers.descent import Descent
from attenergy.attention.solvers.fixed_point import FixedPoint
from attenergy.attention.solvers.langevin import Langevin
from attenergy.attention.solvers.semi_implicit import SemiImplicit
from attenergy.energies import Energy
from attenergy.registry import Catalogue, Place, Problem, Registry, UnknownName

#: Solvers that layers, registry files and options name.
SOLVERS: Catalogue[Solver] = Catalogue(
    "solver",
    Solver,
    {
        "descent": Descent(),
        "coordinate_descent": CoordinateDescent(),
        "semi_implicit": SemiImplicit(),
        "fixed_point": FixedPoint(),
        "langevin": Langevin(),
    },
    instances=True,
)

register_solver = SOLVERS.register


def solver_name(name: Any) -> str:
    """The name of a solver in `SOLVERS`, which may be given by an earlier one.

    Raises:
        UnknownName: there is none; names the nearest and all known ones.
    """
    text = str(name)
    for known, solver in SOLVERS.items():
        if text == known or text in solver.earlier_names:
            return known
    SOLVERS.lookup(text)  # a plug-in may have it
    return text


def check_solver(name: Any, energy: Energy | None = None) -> str:
    """Return the name of a solver that goes with an energy, if one is given.

    Raises:
        ValueError: it is unknown (names the nearest and all known ones), or the energy has not
            what it needs.
    """
    known = solver_name(name)
    if energy is not None:
        SOLVERS[known].check(energy)
    return known


def trainable() -> tuple[str, ...]:
    """The solvers that gradients flow through, so that a layer may have them."""
    return tuple(name for name, solver in SOLVERS.items() if solver.trains)


def solver_problems(registry: Registry, names: Iterable[str] | None = None) -> list[Problem]:
    """Entries that name a solver which is not there or does not train, with positions.

    Args:
        registry: where the entries stand.
        names: which energies to look at; all if None.
    """
    problems: list[Problem] = []
    for name in registry.energies if names is None else names:
        solver = registry.energies[name].solver
        named: list[tuple[tuple[str | int, ...], str]] = [(("default",), solver.default)]
        offered = () if solver.search is None else solver.search.choices
        named += [(("search", "choices", index), choice) for index, choice in enumerate(offered)]
        for path, choice in named:
            key = ("energies", name, "solver", *path)
            try:
                if not SOLVERS[solver_name(choice)].trains:
                    raise UnknownName("solver that trains", choice, trainable())
            except UnknownName as error:
                place = registry.places.get(key) or registry.places.get(key[:2])
                shown = ".".join(map(str, key))
                place = place or Place(file="<registry>", line=1, column=1)
                problems.append(Problem(place, shown, str(error), error.topic))
    return problems
