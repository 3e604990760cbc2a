"""What entries of a registry say, as trees over the parameters that candidates have."""

from __future__ import annotations

from collections.abc import Mapping

from attenergy.energies.formula import formula_tree
from attenergy.energies.language import Expr, Number, Symbol, call, parse, simplify, substitute
from attenergy.energies.language.simplify import expand
from attenergy.registry import EnergySpec, Parameter


class CannotSay(Exception):
    """An entry that no candidate can say, and why."""


def tree_of_entry(
    spec: EnergySpec, parameters: Mapping[str, Parameter], choices: Mapping[str, str]
) -> Expr:
    """The energy of an entry without its field, over the given parameters.

    Args:
        spec: the entry.
        parameters: the names that the tree may have besides xi and X; all above 0.
        choices: options by the names of the entry's choices; the defaults of others.

    Raises:
        CannotSay: it is a class, lives elsewhere, or has a parameter that is no number.
        FormulaError: the formula is wrong, or cannot do without a field.
    """
    if spec.formula is None:
        raise CannotSay(f"it is the class {spec.class_}, no formula")
    if spec.domain != "real":
        raise CannotSay(
            f"its states live in the domain '{spec.domain}', those of candidates in 'real'"
        )
    tree = formula_tree(spec, settings=dict(choices))
    values: dict[str, Expr] = {"h": Number(0.0)}
    free = [name for name in parameters if name not in spec.parameters]
    for name, parameter in spec.parameters.items():
        if parameter.shape:
            raise CannotSay(f"its parameter '{name}' is no single number")
        values[name] = _replacement(name, parameter, parameters, free)
    plain = simplify(substitute(tree, values))
    return min(plain, expand(plain), key=lambda t: t.size)


def _replacement(
    name: str, parameter: Parameter, parameters: Mapping[str, Parameter], free: list[str]
) -> Expr:
    """What stands for a parameter of an entry."""
    start = parse(str(parameter.init), {"D": call("count_d")})
    if parameter.learnable == "no" or parameter.constraint != "positive":
        return start
    ours = parameters.get(name)
    if ours is not None and ours.init == parameter.init:
        return Symbol((), name, positive=True)
    units = [n for n in free if parameters[n].init == 1.0]
    if not units:
        raise CannotSay(f"there is no parameter left for its '{name}'")
    free.remove(units[0])
    symbol = Symbol((), units[0], positive=True)
    return symbol if start == Number(1.0) else start * symbol
