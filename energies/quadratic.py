"""The quadratic part that an entry declares, which says how long a step may be."""

from __future__ import annotations

import math

from attenergy.energies.language import (
    Expr,
    FormulaError,
    Number,
    Program,
    Symbol,
    compile_tree,
    parse,
)
from attenergy.registry import EnergySpec, ParameterError

#: What an entry writes as its quadratic part if that is the radial factor of the gradient.
RADIAL = "radial"


def quadratic_tree(spec: EnergySpec, dim: int) -> Expr:
    """The quadratic part as a tree in the entry's scalar parameters and the head width D.

    Raises:
        FormulaError: it is no scalar expression in them.
    """
    scalars = [name for name, parameter in spec.parameters.items() if not parameter.shape]
    symbols = {name: Symbol((), name=name) for name in scalars}
    tree = parse(str(spec.quadratic), {**symbols, "D": Number(float(dim))})
    if tree.per_state or not set(compile_tree(tree, masked=False).names) <= set(scalars):
        message = "'quadratic' may only use the entry's parameters and D"
        raise FormulaError(message, str(spec.quadratic), 0, topic="parameter-value")
    return tree


def quadratic_program(spec: EnergySpec, dim: int) -> Program | float | None:
    """The quadratic part as a number, or as a program that reads the parameters.

    None if it is not declared, or `RADIAL`.

    Raises:
        ValueError: it is not above 0.
    """
    if spec.quadratic is None or spec.quadratic == RADIAL:
        return None
    if isinstance(spec.quadratic, (int, float)):
        value = float(spec.quadratic)
    else:
        tree = quadratic_tree(spec, dim)
        if not isinstance(tree, Number):
            return compile_tree(tree, masked=False)
        value = tree.value
    if not (math.isfinite(value) and value > 0):
        raise ParameterError(f"'quadratic' must be above 0, got {value:g}")
    return value
