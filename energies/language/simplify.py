"""A normal form of trees under simple algebra.

Sums and products are flattened, sorted and collected; numbers are merged; scalar factors leave
contractions and sums; powers of one base are joined. A factor is cancelled only where it cannot be
zero (positive parameters and numbers), so the normal form equals the tree where both are defined.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeGuard

from attenergy.energies.language.algebra import (
    is_positive,
    reduced,
    split_factors,
    split_terms,
)
from attenergy.energies.language.nodes import Call, Expr, Number, call
from attenergy.energies.language.table import FUNCTIONS, remembered
from attenergy.energies.language.typing_rules import elementwise, power

_ONE = Number(1.0)
_MOST_TERMS = 64


@remembered(4096)
def simplify(expr: Expr) -> Expr:
    """The normal form of a tree; idempotent.

    Example:
        >>> print(simplify(parse("|xi|^2 + |xi|^2", {"xi": XI})))
        2*|xi|^2
    """
    if not isinstance(expr, Call):
        return expr
    args = tuple(simplify(a) for a in expr.args)
    row = FUNCTIONS[expr.function]
    if row.typing not in (elementwise, power) and any(
        new.axes != old.axes for new, old in zip(args, expr.args, strict=True)
    ):
        # A vector that is constant (0*s) simplified to a scalar, which a reduction cannot take.
        shorter = reduced(expr.function, args, tuple(a.axes for a in expr.args))
        if shorter is not None:
            return simplify(shorter)
        pairs = zip(args, expr.args, strict=True)
        return call(expr.function, *(new if new.axes == old.axes else old for new, old in pairs))
    return call(expr.function, *args) if row.normal_form is None else row.normal_form(args)


def equivalent(left: Expr, right: Expr) -> bool:
    """Whether simple algebra makes two trees the same.

    Order of sums and products, numeric factors and cancelled positive parameters do not count.
    A set or a dict of trees up to algebra is one of their normal forms (`simplify`).

    Example:
        >>> symbols = {"xi": XI}
        >>> equivalent(parse("|xi|^2 + |xi|^2", symbols), parse("2*|xi|^2", symbols))
        True
    """
    return simplify(left) == simplify(right)


def product(factors: list[Expr]) -> Expr:
    """The simplified product of simplified nodes."""
    return product_form(tuple(factors)) if factors else _ONE


def _key(expr: Expr) -> tuple[int, int, str]:
    return (not isinstance(expr, Number), len(expr.axes), repr(expr.structure))


def _join(function: str, parts: list[Expr]) -> Expr:
    parts.sort(key=_key)
    return parts[0] if len(parts) == 1 else call(function, *parts)


def sum_form(args: tuple[Expr, ...]) -> Expr:
    """A sum: like terms collected, numbers merged, sorted."""
    collected: dict[tuple[object, ...], tuple[float, Expr]] = {}
    constant = 0.0
    for term in (t for a in args for t in split_terms(a)):
        coefficient, factors = split_factors(term)
        if not factors:
            constant += coefficient
            continue
        core = _join("mul", factors)
        before = collected.get(core.structure, (0.0, core))[0]
        collected[core.structure] = (before + coefficient, core)
    parts = [product([Number(c), core]) for c, core in collected.values() if c != 0]
    if constant != 0 or not parts:
        parts.append(Number(constant))
    return _join("add", parts)


def product_form(args: tuple[Expr, ...]) -> Expr:
    """A product: one number, powers of one base joined, sorted."""
    coefficient = 1.0
    powers: dict[tuple[object, ...], tuple[Expr, list[Expr]]] = {}
    pending = list(args)
    while pending:
        part = pending.pop()
        number, factors = split_factors(part)
        coefficient *= number
        for factor in factors:
            base, exponent = _as_power(factor)
            powers.setdefault(base.structure, (base, []))[1].append(exponent)
    if coefficient == 0:
        return Number(0.0)
    _drop_steps(powers)
    parts: list[Expr] = []
    for base, exponents in powers.values():
        for joined in _join_exponents(base, exponents):
            number, factors = split_factors(power_form((base, joined)))
            coefficient *= number
            parts += factors
    if coefficient != 1 or not parts:
        parts.append(Number(coefficient))
    return _join("mul", parts)


def _drop_steps(powers: dict[tuple[object, ...], tuple[Expr, list[Expr]]]) -> None:
    """relu(z)^n step(z) = relu(z)^n: a rectified factor is already 0 where the step is."""
    rectified = {
        base.args[0].structure
        for base, exponents in powers.values()
        if isinstance(base, Call)
        and base.function == "relu"
        and all(isinstance(e, Number) and e.value > 0 for e in exponents)
    }
    for key, (base, _) in list(powers.items()):
        if (
            isinstance(base, Call)
            and base.function == "step"
            and base.args[0].structure in rectified
        ):
            del powers[key]


def _as_power(expr: Expr) -> tuple[Expr, Expr]:
    if isinstance(expr, Call) and expr.function == "pow":
        return expr.args[0], expr.args[1]
    return expr, _ONE


def _join_exponents(base: Expr, exponents: list[Expr]) -> list[Expr]:
    """Exponents of one base, added where that cannot change the value at base = 0."""
    if len(exponents) == 1 or is_positive(base):
        return [sum_form(tuple(exponents))]
    above = tuple(e for e in exponents if isinstance(e, Number) and e.value > 0)
    below = tuple(e for e in exponents if isinstance(e, Number) and e.value <= 0)
    others = [e for e in exponents if not isinstance(e, Number)]
    return others + [sum_form(numbers) for numbers in (above, below) if numbers]


def power_form(args: tuple[Expr, ...]) -> Expr:
    """A power: exponents multiplied and positive factors taken out where that is allowed."""
    base, exponent = args
    if isinstance(exponent, Number):
        if exponent.value == 1:
            return base
        if exponent.value == 0:
            return _ONE
        if isinstance(base, Number):
            return call("pow", base, exponent)
    if isinstance(base, Call) and base.function == "pow" and _powers_join(base, exponent):
        return power_form((base.args[0], product_form((base.args[1], exponent))))
    if isinstance(base, Call) and base.function == "mul":
        return _power_of_product(base, exponent)
    if isinstance(base, Call) and base.function == "norm" and _is_even(exponent):
        return power_form((sumsq_form(base.args), Number(exponent.value / 2)))
    return call("pow", base, exponent)


def _is_even(exponent: Expr) -> TypeGuard[Number]:
    return isinstance(exponent, Number) and exponent.value > 0 and exponent.value % 2 == 0


def _powers_join(base: Call, outer: Expr) -> bool:
    """Whether (z^a)^b = z^(ab): not for roots of even powers, nor where z^(ab) has more values."""
    inner = base.args[1]
    if is_positive(base.args[0]):
        return True
    if not (isinstance(inner, Number) and isinstance(outer, Number) and outer.value.is_integer()):
        return False
    return inner.value.is_integer() or not (inner.value * outer.value).is_integer()


def _power_of_product(base: Call, exponent: Expr) -> Expr:
    """Positive factors leave: (2 beta z)^n = 2^n beta^n z^n for scalars 2 and beta."""
    leaving = [f for f in base.args if is_positive(f) and not f.axes]
    staying = [f for f in base.args if not (is_positive(f) and not f.axes)]
    if not leaving:
        return call("pow", base, exponent)
    rest = [call("pow", _join("mul", staying), exponent)] if staying else []
    return product_form((*(power_form((f, exponent)) for f in leaving), *rest))


def _scalars_out(expr: Expr) -> tuple[list[Expr], Expr]:
    """Scalar factors of a vector or matrix, and what remains."""
    number, factors = split_factors(expr)
    scalars: list[Expr] = [f for f in factors if not f.axes]
    rest = [f for f in factors if f.axes]
    if number != 1:
        scalars.append(Number(number))
    return scalars, _join("mul", rest) if rest else _ONE


def linear_form(function: str) -> Callable[[tuple[Expr, ...]], Expr]:
    """A linear function by name: scalar factors leave."""

    def rule(args: tuple[Expr, ...]) -> Expr:
        scalars, rest = _scalars_out(args[0])
        return product([*scalars, call(function, rest)])

    return rule


def matmul_form(args: tuple[Expr, ...]) -> Expr:
    """A contraction: scalar factors leave, v @ v is |v|^2, vectors stand on the right."""
    left_scalars, left = _scalars_out(args[0])
    right_scalars, right = _scalars_out(args[1])
    if left.structure == right.structure and len(left.axes) == 1:
        core = call("sumsq", left)
    elif len(left.axes) == 1 and len(right.axes) == 2:
        core = matmul_form((transpose_form((right,)), left))
    elif len(left.axes) == len(right.axes) == 1:
        core = call("matmul", *sorted((left, right), key=_key))
    else:
        core = call("matmul", left, right)
    return product([*left_scalars, *right_scalars, core])


def transpose_form(args: tuple[Expr, ...]) -> Expr:
    """A transpose: scalar factors leave, two transposes undo each other."""
    inner = args[0]
    if isinstance(inner, Call) and inner.function == "transpose":
        return inner.args[0]
    scalars, rest = _scalars_out(inner)
    return product([*scalars, call("transpose", rest)])


def sumsq_form(args: tuple[Expr, ...]) -> Expr:
    """A squared length: scalar factors leave, squared."""
    scalars, rest = _scalars_out(args[0])
    squares = [power_form((s, Number(2.0))) for s in scalars]
    return product([*squares, call("sumsq", rest)])


def expand(expr: Expr) -> Expr:
    """A simplified tree with products distributed over sums, unless that gives too many terms."""
    if isinstance(expr, Call) and expr.function == "add":
        return sum_form(tuple(expand(a) for a in expr.args))
    number, factors = split_factors(expr)
    if math.prod(len(split_terms(f)) for f in factors) > _MOST_TERMS:
        return expr
    for index, factor in enumerate(factors):
        if isinstance(factor, Call) and factor.function == "add":
            rest = [Number(number), *factors[:index], *factors[index + 1 :]]
            return sum_form(tuple(expand(product([*rest, term])) for term in factor.args))
    return expr


def _shift_out(args: tuple[Expr, ...]) -> tuple[list[Expr], Expr]:
    """Terms of a vector that are the same for all patterns, and what remains."""
    terms = split_terms(expand(args[0]))
    same = [t for t in terms if not t.axes]
    rest = [t for t in terms if t.axes]
    if not rest:
        return [], args[0]
    return same, sum_form(tuple(rest))


def lse_form(args: tuple[Expr, ...]) -> Expr:
    """A shift leaves: lse(v + c) = c + lse(v)."""
    same, rest = _shift_out(args)
    return sum_form((*same, call("lse", rest)))


def softmax_form(args: tuple[Expr, ...]) -> Expr:
    """A shift vanishes: softmax(v + c) = softmax(v)."""
    return call("softmax", _shift_out(args)[1])
