"""Whatever names an energy, as an entry and settings: the one place that everybody asks.

A name in the registry, a formula, an entry, a class, an energy that is made, or a function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from torch import Tensor, nn

from attenergy.energies.base import Energy
from attenergy.energies.declarations import (
    BETA,
    entry_with,
    names_in,
    no_energy,
    with_advice,
)
from attenergy.energies.factory import CLASSES, OwnSpec
from attenergy.energies.factory import class_of as class_of_entry
from attenergy.energies.formula import FormulaEnergy, formula_tree
from attenergy.energies.functions import arguments_of, function_class, name_of_function
from attenergy.energies.language import FormulaError
from attenergy.energies.parameters import Setting
from attenergy.energies.settings.keywords import check_settings, known_arguments
from attenergy.energies.settings.numbers import plain
from attenergy.registry import (
    ArgumentError,
    ArgumentTypeError,
    EnergySpec,
    MixerSpec,
    RegistryLike,
    given_registry,
)
from attenergy.registry.errors import clipped
from attenergy.registry.stacks import is_stack_name

#: What may stand wherever an energy is named.
EnergyLike: TypeAlias = str | EnergySpec | Energy | type[Energy] | Callable[..., Tensor]

_NAME = re.compile(r"[\w.-]*")


@dataclass(frozen=True)
class EnergySource:
    """What an energy is made from.

    Attributes:
        spec: its entry.
        settings: initial values of parameters, choices and options, all of them the entry's.
        made: the energy, if it is made already.
        name: the entry's in the registry, if that is where it is from.

    Example:
        >>> source_of("lse", {"beta": 2.0}).settings
        {'beta': 2.0}
    """

    spec: EnergySpec
    settings: dict[str, Setting]
    made: Energy | None = None
    name: str = ""

    def make(self, dim: int, num_heads: int | None = None) -> Energy:
        """The energy; one that is made already is the result, if its sizes fit.

        Raises:
            ArgumentError: they do not, or a setting is out of its range.
            FormulaError: the entry's formula is wrong.
        """
        if self.made is None:
            try:
                return class_of_entry(self.spec)(self.spec, dim, num_heads, self.settings)
            except FormulaError as error:
                raise error.in_entry(self.name) from None
        if (self.made.dim, self.made.num_heads) != (dim, num_heads):
            raise ArgumentError(
                f"the energy is made with dim={self.made.dim} and num_heads={self.made.num_heads}, "
                f"but dim={dim} and num_heads={num_heads} are needed here",
                topic="energy-argument",
            )
        return self.made

    def entry(self) -> EnergySpec:
        """The entry with the settings in the place of its defaults."""
        if self.made is not None and class_of_entry(self.spec) is not type(self.made):
            content = self.spec.model_dump(by_alias=True, exclude_unset=True)
            return replace(self, spec=OwnSpec.of(type(self.made), content), made=None).entry()
        new: dict[str, Any] = {}
        for kind, key in (("parameters", "init"), ("choices", "default"), ("options", "default")):
            old = getattr(self.spec, kind)
            changed = {n: value for n, value in self.settings.items() if n in old}
            if changed:
                new[kind] = {
                    n: part.model_copy(update={key: changed[n]}) if n in changed else part
                    for n, part in old.items()
                }
        return self.spec.model_copy(update=new) if new else self.spec


def make_energy(
    energy: EnergyLike,
    *,
    dim: int,
    num_heads: int | None = None,
    registry: RegistryLike | None = None,
    **settings: Any,
) -> Energy:
    """Build an energy.

        >>> make_energy("lse", dim=16, beta=2.0).num_heads is None
        True
        >>> energy = make_energy("0.5*|xi|^2 - sum_n((X @ xi)^2)/scale", dim=16, scale=4.0)

    Args:
        energy: a name in the registry, a formula, an entry, a class of energies, an energy that is
            made (returned as it is, if its sizes fit), or a function of a state xi [D] and patterns
            X [N, D] that returns one number.
        dim: head width D of states and patterns.
        num_heads: H, giving per-head parameters of shape (H, 1, 1) for tensors (..., H, L, D);
            None gives shared parameters for tensors (..., L, D).
        registry: where the name is looked up: a registry, or a file added to the built-in one and
            plug-ins, which are taken if None.
        **settings: initial values of parameters, choices and options. Of a formula or a function
            they declare its parameters: a number, an expression in D, or what an entry would say,
            as a dict or a `Parameter`. Numbers above 0 stay above 0. `beta` starts at 1/sqrt(D).

    Raises:
        TypeError: `energy` is none of these.
        ValueError: unknown name, class or setting, or a value out of range.
        FormulaError: the formula is wrong.
    """
    return source_of(energy, settings, registry=registry, taker=make_energy).make(dim, num_heads)


def source_of(
    energy: Any,
    settings: Mapping[str, Any] | None = None,
    *,
    registry: RegistryLike | None = None,
    others: Collection[str] = (),
    argument: str = "energy",
    taker: Callable[..., Any] | None = None,
) -> EnergySource:
    """What an energy is made from, whatever names it.

    Args:
        energy: see `make_energy`.
        settings: see `make_energy`.
        registry: see `make_energy`.
        others: names that mean something beside the settings, for the text of errors.
        argument: what the caller calls the energy.
        taker: the class or function that settings were given to, whose arguments that text names.

    Raises:
        TypeError: `energy` is nothing that names one.
        ValueError: an unknown name, class or setting.
        FormulaError: a formula is wrong.

    Example:
        >>> source = source_of("0.5*|xi|^2 - lse(beta*X @ xi)/beta", {"beta": 2.0})
        >>> source.spec.formula
        '0.5*|xi|^2 - lse(beta*X @ xi)/beta'
    """
    if taker is not None:
        with known_arguments(taker, others):
            return source_of(energy, settings, registry=registry, argument=argument)
    settings = {key: plain(value) for key, value in (settings or {}).items()}
    made, name = None, ""
    if isinstance(energy, Energy):
        made, spec = energy, energy.spec
        if settings:
            _check(spec, settings, others)
            names = ", ".join(settings)
            raise ArgumentError(
                f"an energy that is made already has its own dim and settings, got {names}",
                topic="energy-argument",
            )
        settings = energy.settings
    elif isinstance(energy, str) and is_formula(energy) and not is_stack_name(energy):
        spec, settings = _of_formula(energy, settings, others), {}
    elif isinstance(energy, str):
        spec, name = _of_name(energy, registry), energy
    elif isinstance(energy, EnergySpec):
        spec = energy
    elif isinstance(energy, type) and issubclass(energy, Energy):
        spec = _of_class(energy, registry)
    elif _is_function(energy):
        spec, settings = _of_function(energy, settings, others), {}
    else:
        raise ArgumentTypeError(no_energy(argument, energy), topic="energy-argument")
    _check(spec, settings, others)
    return EnergySource(spec, settings, made, name)


def is_formula(text: str) -> bool:
    """Whether a text is a formula; a name has only letters, digits, `_`, `-` and dots."""
    return _NAME.fullmatch(text) is None


def _check(spec: EnergySpec, settings: Mapping[str, Any], others: Collection[str]) -> None:
    known = dict.fromkeys((*class_of_entry(spec).known_settings(spec), *others))
    check_settings(settings, list(known), f"'{spec.title}'")


def _of_name(name: str, registry: RegistryLike | None) -> EnergySpec:
    registry = given_registry(registry)
    spec = registry.layer(name)
    if isinstance(spec, MixerSpec):
        raise ArgumentError(
            f"'{name}' is a mixer and has no energy; energies: {', '.join(registry.energies)}",
            topic="energy-argument",
        )
    return spec


def setting_names(energy: Any, registry: RegistryLike | None = None) -> list[str]:
    """The settings that whatever names an energy has; of a formula, those it may declare.

    Raises:
        TypeError: `energy` is nothing that names one.
        ValueError: an unknown name or class.
    """
    if isinstance(energy, str) and is_formula(energy) and not is_stack_name(energy):
        return names_in(energy)
    if _is_function(energy):
        return list(arguments_of(energy).parameters)
    spec = source_of(energy, registry=registry).spec
    return class_of_entry(spec).known_settings(spec)


def _is_function(energy: Any) -> bool:
    return callable(energy) and not isinstance(energy, (type, nn.Module))


def _of_formula(text: str, given: Mapping[str, Any], others: Collection[str]) -> EnergySpec:
    """An entry of a formula; every name in it that means nothing else is a parameter."""
    names = names_in(text)
    declared = {n: given.get(n, BETA.init) for n in names if n in given or n == "beta"}
    spec = entry_with(
        EnergySpec.model_validate, {"title": clipped(text, 60), "formula": text}, declared
    )
    _check(spec, given, others)
    try:
        formula_tree(spec)
    except FormulaError as error:
        raise with_advice(error, text, [n for n in names if n not in declared]) from None
    return spec


def _of_class(cls: type[Energy], registry: RegistryLike | None) -> EnergySpec:
    """The class's own `entry`, else the one of the registry that names it, else a bare one."""
    if cls in (Energy, FormulaEnergy):
        raise ArgumentError(
            f"{cls.__name__} alone is no energy: give a formula, or derive a class from Energy",
            topic="energy-argument",
        )
    name = CLASSES.name_of(cls)
    content = cls.entry
    if isinstance(content, EnergySpec):
        content = content.model_dump(by_alias=True, exclude_unset=True)
    if content is None and name is not None:
        entries = given_registry(registry).energies
        ours = [n for n, spec in entries.items() if spec.class_ == name]
        if len(ours) > 1:
            raise ArgumentError(
                f"the class {name} stands behind {', '.join(ours)}: give one of these names",
                topic="energy-argument",
            )
        if ours:
            return entries[ours[0]]
    return _entry_of_code(cls, name, {"title": cls.__name__, **(content or {})}, {})


def _of_function(
    function: Callable[..., Any], given: Mapping[str, Any], others: Collection[str]
) -> EnergySpec:
    """An entry of a function; the arguments that are numbers are its parameters."""
    try:
        function_class(function)
    except TypeError as error:
        if isinstance(error, ArgumentTypeError):
            raise
        raise ArgumentTypeError(
            f"a function that is an energy must be hashable: {error}", topic="own-function"
        ) from None
    title = name_of_function(function)
    known = arguments_of(function).parameters
    check_settings(given, [*known, *others], f"the function '{title}'")
    declared = {n: given.get(n, default) for n, default in known.items()}
    if "beta" in declared and declared["beta"] is None:
        declared["beta"] = BETA.init
    for name, value in declared.items():
        if value is None:
            raise ArgumentError(
                f"the function '{title}' needs its argument '{name}': give {name}=1.0, or a "
                "default in its signature",
                topic="own-function",
            )
    classes = ((n, getattr(c, "function", None)) for n, c in CLASSES.items())
    registered = next((n for n, other in classes if other is function), None)
    return _entry_of_code(function, registered, {"title": title}, declared)


def _entry_of_code(
    code: Any, name: str | None, content: dict[str, Any], declared: Mapping[str, Any]
) -> EnergySpec:
    if name is not None:
        return entry_with(EnergySpec.model_validate, {**content, "class": name}, declared)
    return entry_with(lambda data: OwnSpec.of(code, data), content, declared)
