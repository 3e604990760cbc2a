"""Parameters that are declared in Python, by what is given to their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from attenergy.energies.parameters import initial_value
from attenergy.registry import RESERVED, ArgumentError, Parameter, ParameterError, Range
from attenergy.registry.error_messages import message

#: The inverse temperature, whose meaning is the same in all formulas: its default, and its range.
BETA = Parameter(
    init="1/sqrt(D)", constraint="positive", search=Range(low=0.1, high=10.0, log=True)
)


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
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        try:
            value = Parameter.model_validate(dict(value))
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


def said(error: ValidationError) -> str:
    """What is wrong with an entry, and where in it."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    text = message([first])
    return f"{place}: {text}" if place else text
