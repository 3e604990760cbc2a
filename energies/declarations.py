"""Parameters that are declared in Python, by what is given to their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from torch import nn

from attenergy.energies.language import PUBLIC, SYMBOLS, FormulaError
from attenergy.energies.parameters import initial_value
from attenergy.energies.settings.numbers import plain
from attenergy.registry import RESERVED, ArgumentError, EnergySpec, Parameter, ParameterError, Range
from attenergy.registry.error_messages import message

#: The inverse temperature, whose meaning is the same in all formulas: its default, and its range.
BETA = Parameter(
    init="1/sqrt(D)", constraint="positive", search=Range(low=0.1, high=10.0, log=True)
)

#: What a search may do with an energy that says nothing of it.
_SEARCHED: dict[str, Any] = {
    "steps": {"default": 1, "search": {"low": 1, "high": 4}},
    "step_size": {"default": 1.0, "search": {"low": 0.1, "high": 1.9}},
}


def declared_parameter(name: str, value: Any) -> Parameter:
    """What a value declares that is given to a name of a formula or of a function.

    A number above 0 stays above 0 and is searched from a tenth to ten times of it; another one is
    free and not searched. `beta` is above 0 whatever is given.

    Args:
        name: of the parameter.
        value: a number, an expression in D, or what an entry would say, as a dict or a `Parameter`.

    Raises:
        ArgumentError: the name is reserved, or the value is none of these or out of range.
    """
    if name in RESERVED:
        raise ArgumentError(
            f"'{name}' cannot be a parameter: it is an argument of layers", topic="name-taken"
        )
    value = plain(value)
    if isinstance(value, Mapping):
        try:
            value = Parameter.model_validate({key: plain(part) for key, part in value.items()})
        except ValidationError as error:
            raise ParameterError(f"parameter '{name}': {said(error)}") from None
    if not isinstance(value, Parameter):
        number = initial_value(name, BETA if name == "beta" else Parameter(init=0.0), 4, value)
        if name == "beta" and isinstance(value, str):
            return BETA.model_copy(update={"init": value})
        if number <= 0:
            return Parameter(init=value)
        span = (
            None if isinstance(value, str) else Range(low=number / 10, high=number * 10, log=True)
        )
        return Parameter(init=value, constraint="positive", search=span)
    initial_value(name, value, 4, None)
    return value


def names_in(formula: str) -> list[str]:
    """The names in a formula that mean nothing of themselves."""
    words = dict.fromkeys(re.findall(r"[A-Za-z]\w*", formula))
    return [word for word in words if word not in {*SYMBOLS, *PUBLIC}]


def with_advice(error: FormulaError, text: str, undeclared: list[str]) -> FormulaError:
    """The error; of a name that could be a parameter, it says how it becomes one."""
    word = re.match(r"[A-Za-z]\w*", text[error.offset or 0 :])
    unknown = word is not None and error.message.startswith(f"unknown name '{word[0]}' (known")
    if word is None or word[0] not in undeclared or not unknown:
        return error
    advice = f"; a parameter gets its value as a keyword: {word[0]}=1.0"
    return FormulaError(error.message + advice, text, error.offset, topic=error.topic)


def no_energy(argument: str, energy: Any) -> str:
    """What is said of something that names no energy."""
    what = energy.__name__ if isinstance(energy, type) else type(energy).__name__
    hint = ""
    if isinstance(energy, nn.Module):
        hint = "; a module with weights of its own becomes an Energy by deriving from it"
    return (
        f"{argument} must be the name of an energy in the registry, a formula, an entry (an "
        "EnergySpec), a class of energies or one that is made, or a function of (xi, X), "
        f"got {what}{hint}"
    )


def entry_with(
    make: Callable[[dict[str, Any]], EnergySpec],
    content: dict[str, Any],
    declared: Mapping[str, Any],
) -> EnergySpec:
    """An entry with these parameters, and with ranges for a search where it names none."""
    parameters = {name: declared_parameter(name, value) for name, value in declared.items()}
    content = {**_SEARCHED, **content}
    if parameters:
        content["parameters"] = parameters
    try:
        return make(content)
    except ValidationError as error:
        raise ArgumentError(f"{content['title']}: {said(error)}", topic="energy-argument") from None


def said(error: ValidationError) -> str:
    """What is wrong with an entry, and where in it."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    text = message([first])
    return f"{place}: {text}" if place else text
