"""Landscapes: the energy over one state, with a few stored patterns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attenergy.analysis import landscape, spin_levels
from attenergy.analysis.landscapes.charts import Circle
from attenergy.analysis.landscapes.landscape import Landscape
from attenergy.analysis.landscapes.spin_levels import SpinLevels
from attenergy.energies import Energy, domain_of, make_energy
from attenergy.registry import ArgumentError, EnergySpec, Registry
from attenergy.testing.docs_pages.pictures.files import Drawn, rendered

#: The inverse temperature of the pictures, at which energies of the same patterns differ; and of
#: domains where it is another quantity.
_BETA, _ELSEWHERE = 1.5, {"sphere": 4.0, "layer_norm": 4.0, "magnetisation": 4.0, "simplex": 4.0}
#: Energies that show more of themselves elsewhere.
_SETTINGS: dict[str, dict[str, Any]] = {
    "linear_attention": {"beta": 0.1},
    "lsr": {"beta": 0.8},
    "log_sum_kernel": {"beta": 0.8},
    "rbm": {"beta": 4.0, "c": -2.5},
    "boltzmann": {"beta": 4.0, "c": -2.5},
    "unrestricted_boltzmann": {"beta": 4.0, "c": -2.5},
    "input_gated": {},
    "tap": {"beta": 0.8},
}


def settings_of(name: str, spec: EnergySpec) -> dict[str, Any]:
    """Parameters of the picture that are not the entry's own."""
    if name in _SETTINGS:
        return _SETTINGS[name]
    if "beta" not in spec.parameters or domain_of(spec).discrete:
        return {}
    return {"beta": _ELSEWHERE.get(spec.domain, _BETA)}


def draw_energy(registry: Registry, name: str) -> Drawn:
    """The surface, or the levels of spins; a reason where an energy has neither."""
    spec = registry.energies[name]
    settings = settings_of(name, spec)
    energy: Energy = make_energy(name, dim=2, registry=registry)
    if not energy.states_interact and not energy.reads_patterns:
        return Drawn(
            None,
            "every token has an energy of its own, in which the others are held fixed, so there "
            "is no one surface.",
        )
    try:
        draw: Callable[..., Landscape | SpinLevels]
        draw = spin_levels if domain_of(spec).discrete else landscape
        result = draw(name, registry=registry, **settings)
    except ArgumentError as error:
        return Drawn(None, str(error).partition(";")[0] + ".")
    given = "".join(f" --set {key}={value:g}" for key, value in settings.items())
    surface = isinstance(result, Landscape)
    return Drawn(
        rendered(result.pictures()[0].figure),
        f"{result.sentence} {_read(result)}",
        f"{'Landscape' if surface else 'Levels'} of {name}. {result.sentence}",
        f"attenergy energies plot {name}{given}",
    )


def _read(result: Landscape | SpinLevels) -> str:
    """How the picture is read."""
    if not isinstance(result, Landscape):
        return "Each dot is one of all states of the spins, by its nearest pattern and its energy."
    seen = result.problem.seen
    if isinstance(result.chart, Circle):
        return f"Lines across are the angles of the {seen}s; colours are basins."
    return (
        f"The darker, the lower; crosses are {seen}s, lines relaxations by the energy's own "
        "steps, filled marks minima."
    )
