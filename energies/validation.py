"""What is wrong with the entries of a registry, and where in its files."""

from __future__ import annotations

from collections.abc import Iterable

from attenergy.energies.domains import domain_of
from attenergy.energies.factory import class_of
from attenergy.energies.formula import formula_tree
from attenergy.energies.language import FormulaError
from attenergy.energies.names import name_errors, unused_errors
from attenergy.energies.parameters import constant
from attenergy.energies.quadratic import RADIAL, quadratic_tree
from attenergy.registry import EnergySpec, Place, Problem, Registry


def formula_problems(registry: Registry, names: Iterable[str] | None = None) -> list[Problem]:
    """Everything wrong with the formulas, expressions and classes of entries, with positions.

    Args:
        registry: where the entries stand.
        names: which energies to look at; all if None.

    Example:
        >>> formula_problems(attenergy.load_registry(plugins=False), ["lse", "rbm"])
        []
    """
    problems: list[Problem] = []
    for name in registry.energies if names is None else names:
        spec = registry.energies[name]
        for path, error in _errors(spec):
            key = ("energies", name, *path)
            message = error.message if isinstance(error, FormulaError) else str(error)
            place = _place(registry, key, error)
            topic = getattr(error, "topic", "registry-entry")
            problems.append(Problem(place, ".".join(key), message, topic))
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
    errors: list[tuple[tuple[str, ...], ValueError]] = []
    for name, parameter in spec.parameters.items():
        try:
            constant(parameter.init, dim=4)
        except FormulaError as error:
            errors.append((("parameters", name, "init"), error))
    if isinstance(spec.quadratic, str) and spec.quadratic != RADIAL:
        try:
            quadratic_tree(spec, dim=4)
        except FormulaError as error:
            errors.append((("quadratic",), error))
    for key, check in (("class", class_of), ("domain", domain_of)):
        try:
            check(spec)
        except ValueError as error:
            errors.append(((key,), error))
    if spec.formula is not None:
        named = [*name_errors(spec), *unused_errors(spec)]
        errors += [(error.path, error) for error in named] or _formula_errors(spec)
    return errors


def _formula_errors(spec: EnergySpec) -> list[tuple[tuple[str, ...], ValueError]]:
    """Errors of the formula with its default choices; if it has none, of the other options."""
    try:
        formula_tree(spec, 4)
    except FormulaError as error:
        return [(error.path or ("formula",), error)]
    except ValueError as error:
        return [(("formula",), error)]
    errors: list[tuple[tuple[str, ...], ValueError]] = []
    for name, choice in spec.choices.items():
        for option in choice.options:
            try:
                formula_tree(spec, 4, {name: option})
            except FormulaError as error:
                text, topic = choice.options[option], error.topic
                at = error if error.path else FormulaError(error.message, text, 0, topic=topic)
                errors.append((("choices", name, "options", option), at))
    return errors
