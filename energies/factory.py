"""From a registry entry to an energy, and what can be said of an entry without training it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from attenergy.energies.base import Energy
from attenergy.energies.domains import domain_of, guarantee_of
from attenergy.energies.entry_names import name_errors, unused_errors
from attenergy.energies.formula import FormulaEnergy, formula_tree
from attenergy.energies.graphs.boltzmann import Boltzmann
from attenergy.energies.graphs.graph_hopfield import GraphHopfield, GraphMemory
from attenergy.energies.language import FormulaError, score_form, to_latex
from attenergy.energies.memories.feature_memory import ContinuousTime, RandomFeatures
from attenergy.energies.memories.learned import Learned
from attenergy.energies.memories.metric_memory import EllipticalMemory, KernelMemory
from attenergy.energies.memories.two_layer import TwoLayer
from attenergy.energies.parameters import Setting, constant
from attenergy.energies.quadratic import RADIAL, quadratic_tree
from attenergy.energies.spins.ising import IsingMeanField, Tap
from attenergy.energies.spins.spherical_spins import SphericalSpins
from attenergy.energies.spins.spin_systems import GaussianSpins, Potts, VectorSpins
from attenergy.energies.tokens.token_attention import (
    CausalTokens,
    EnergyTransformer,
    EnergyTransformerBlock,
    HyperSet,
)
from attenergy.registry import (
    ArgumentError,
    ArgumentTypeError,
    Catalogue,
    EnergySpec,
    Place,
    Problem,
    Registry,
    given_registry,
)

#: Energies that a registry entry may name as its `class`.
CLASSES: Catalogue[type[Energy]] = Catalogue(
    "energy class",
    Energy,
    {
        "CausalTokens": CausalTokens,
        "ContinuousTime": ContinuousTime,
        "EllipticalMemory": EllipticalMemory,
        "EnergyTransformer": EnergyTransformer,
        "EnergyTransformerBlock": EnergyTransformerBlock,
        "HyperSet": HyperSet,
        "KernelMemory": KernelMemory,
        "Learned": Learned,
        "RandomFeatures": RandomFeatures,
        "TwoLayer": TwoLayer,
        "Boltzmann": Boltzmann,
        "GaussianSpins": GaussianSpins,
        "GraphHopfield": GraphHopfield,
        "GraphMemory": GraphMemory,
        "IsingMeanField": IsingMeanField,
        "Potts": Potts,
        "SphericalSpins": SphericalSpins,
        "Tap": Tap,
        "VectorSpins": VectorSpins,
    },
)

register_energy = CLASSES.register


def make_energy(
    energy: str | EnergySpec,
    *,
    dim: int,
    num_heads: int | None = None,
    registry: Registry | None = None,
    **settings: Setting,
) -> Energy:
    """Build an energy from its entry.

    Args:
        energy: a name in the registry, or an entry.
        dim: head width D of states and patterns.
        num_heads: H, giving per-head parameters of shape (H, 1, 1) for tensors (..., H, L, D);
            None gives shared parameters for tensors (..., L, D).
        registry: where the name is looked up; the built-in one and plug-ins if None.
        **settings: initial values of parameters, choices and options.

    Raises:
        TypeError: `energy` is neither a name nor an entry.
        ValueError: unknown name, class or setting, or a value out of range.
        FormulaError: the entry's formula is wrong.
    """
    if isinstance(energy, str):
        registry = given_registry(registry)
        spec = registry.layer(energy)
        if not isinstance(spec, EnergySpec):
            raise ArgumentError(
                f"'{energy}' is a mixer and has no energy; energies: {', '.join(registry.energies)}"
            )
    else:
        check_entry("energy", energy)
        spec = energy
    return _class_of(spec)(spec, dim, num_heads, settings)


def check_entry(name: str, energy: Any) -> None:
    """Check that something is an entry of an energy.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(energy, EnergySpec):
        what = energy.__name__ if isinstance(energy, type) else type(energy).__name__
        raise ArgumentTypeError(
            f"{name} must be the name of an energy in the registry or its entry (an EnergySpec), "
            f"got {what}; a class of your own goes into an entry, as `class: {what}`"
        )


def _class_of(spec: EnergySpec) -> type[Energy]:
    if spec.class_ is None:
        return FormulaEnergy
    return CLASSES.lookup(spec.class_)


def describe(spec: EnergySpec) -> dict[str, str | bool]:
    """What the compiler makes of an entry.

    Returns:
        `formula` (of a class: the first paragraph of its description), `latex`, `update` (as text),
        `safe_steps` (step sizes that never raise E), `score_path` (weights are derived once) and
        `attention` (one step reaches `scaled_dot_product_attention`).
    """
    if spec.formula is None:
        cls = _class_of(spec)
        paragraph = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
        return {
            "formula": " ".join(paragraph.split()),
            "latex": cls.latex,
            "update": "-grad_xi E",
            "safe_steps": _safe_steps(spec),
            "score_path": bool(cls.has_weights),
            "attention": False,
        }
    tree = formula_tree(spec)
    form = score_form(tree)
    update = "-grad_xi E, by autograd"
    if form is not None:
        radial = str(form.radial)
        start = {"0": "", "1": "-xi + "}.get(radial, f"-({radial})*xi + ")
        update = f"{start}X' @ [{form.weights}]   with s = X @ xi, q = |xi|^2"
    return {
        "formula": spec.formula,
        "latex": to_latex(tree),
        "update": update,
        "safe_steps": _safe_steps(spec),
        "score_path": form is not None,
        "attention": form is not None and form.attention is not None,
    }


def _safe_steps(spec: EnergySpec) -> str:
    guarantee = guarantee_of(spec)
    if guarantee == "none":
        return "no promise"
    largest = domain_of(spec).largest_step
    span = {2.0: "0 to 2", 1.0: "0 to 1"}.get(largest, "any")
    return span if guarantee == "parallel" else f"{span}, one site at a time"


def formula_problems(registry: Registry, names: Iterable[str] | None = None) -> list[Problem]:
    """Everything wrong with the formulas, expressions and classes of entries, with positions.

    Args:
        registry: where the entries stand.
        names: which energies to look at; all if None.
    """
    problems: list[Problem] = []
    for name in registry.energies if names is None else names:
        spec = registry.energies[name]
        for path, error in _errors(spec):
            key = ("energies", name, *path)
            message = error.message if isinstance(error, FormulaError) else str(error)
            place = _place(registry, key, error)
            problems.append(Problem(place, ".".join(key), message))
    return problems


def _place(registry: Registry, key: tuple[str, ...], error: ValueError) -> Place:
    """The character that is wrong, or else the key or the entry that holds it."""
    offset = error.offset if isinstance(error, FormulaError) else None
    return (
        registry.locate(key, offset or 0)
        or registry.places.get(key)
        or registry.places.get(key[:2])
        or Place(file="<registry>", line=1, column=1)
    )


def _errors(spec: EnergySpec) -> list[tuple[tuple[str, ...], ValueError]]:
    found: list[tuple[tuple[str, ...], ValueError]] = []
    for name, parameter in spec.parameters.items():
        try:
            constant(parameter.init, dim=4)
        except FormulaError as error:
            found.append((("parameters", name, "init"), error))
    if isinstance(spec.quadratic, str) and spec.quadratic != RADIAL:
        try:
            quadratic_tree(spec, dim=4)
        except FormulaError as error:
            found.append((("quadratic",), error))
    for key, check in (("class", _class_of), ("domain", domain_of)):
        try:
            check(spec)
        except ValueError as error:
            found.append(((key,), error))
    if spec.formula is not None:
        named = [*name_errors(spec), *unused_errors(spec)]
        found += [(error.path, error) for error in named] or _formula_errors(spec)
    return found


def _formula_errors(spec: EnergySpec) -> list[tuple[tuple[str, ...], ValueError]]:
    """Errors of the formula with its default choices; if it has none, of the other options."""
    try:
        formula_tree(spec, 4)
    except FormulaError as error:
        return [(error.path or ("formula",), error)]
    except ValueError as error:
        return [(("formula",), error)]
    found: list[tuple[tuple[str, ...], ValueError]] = []
    for name, choice in spec.choices.items():
        for option in choice.options:
            try:
                formula_tree(spec, 4, {name: option})
            except FormulaError as error:
                at = error if error.path else FormulaError(error.message, choice.options[option], 0)
                found.append((("choices", name, "options", option), at))
    return found
