"""Operators of the language, which formulas write as signs: + * ^ @, a transpose and lengths."""

from __future__ import annotations

import math
import operator
from typing import Any

import torch

from attenergy.energies.language.algebra import is_positive
from attenergy.energies.language.emit import Emitter
from attenergy.energies.language.nodes import Call, Expr, Number, call
from attenergy.energies.language.numerics import safe_sqrt
from attenergy.energies.language.simplify import (
    matmul_form,
    power_form,
    product,
    product_form,
    simplify,
    sum_form,
    sumsq_form,
    transpose_form,
)
from attenergy.energies.language.table import Function
from attenergy.energies.language.typing_rules import (
    contraction,
    elementwise,
    length,
    power,
    transposed,
)


def _is_inverse(expr: Expr) -> bool:
    """Whether the tree is `1/z`."""
    return (
        isinstance(expr, Call)
        and expr.function == "pow"
        and isinstance(expr.args[1], Number)
        and expr.args[1].value == -1
    )


def _negated(expr: Expr) -> Expr | None:
    """`z` if the tree is `-1 * z`."""
    if isinstance(expr, Call) and expr.function == "mul" and len(expr.args) == 2:
        first, second = expr.args
        if isinstance(first, Number) and first.value == -1:
            return second
    return None


def _is_tame_power(args: tuple[Expr, ...]) -> bool:
    """Whether z^exponent has finite derivatives wherever z is finite; z^2 is written as z*z."""
    exponent = args[1]
    return isinstance(exponent, Number) and exponent.value in (1.0, 2.0)


def _emit_add(code: Emitter, *args: Expr) -> Any:
    first, *rest = args
    total = code.emit(first)
    for term in rest:
        negative = _negated(term)
        if negative is None:
            total = code.call(operator.add, total, code.emit(term))
        else:
            total = code.call(operator.sub, total, code.emit(negative))
    return total


def _emit_mul(code: Emitter, *args: Expr) -> Any:
    above = [a for a in args if not _is_inverse(a)]
    below = [a.args[0] for a in args if isinstance(a, Call) and _is_inverse(a)]
    if not above:
        total: Any = 1.0
    else:
        total, *rest = (code.emit(a) for a in sorted(above, key=lambda a: len(a.axes)))
        if isinstance(total, float) and total == -1.0 and rest:
            total, *rest = code.call(operator.neg, rest[0]), *rest[1:]
        for factor in rest:
            total = code.call(operator.mul, total, factor)
    for factor in below:
        total = code.call(operator.truediv, total, code.guarded(factor))
    return total


def _emit_pow(code: Emitter, base: Expr, exponent: Expr) -> Any:
    value = code.emit(base) if _is_tame_power((base, exponent)) else code.guarded(base)
    if isinstance(exponent, Number):
        if exponent.value == 2:
            return code.call(operator.mul, value, value)
        if exponent.value == -1:
            return code.call(torch.reciprocal, value)
        if exponent.value == 0.5:
            return code.call(torch.sqrt, value)
        whole = exponent.value.is_integer() and abs(exponent.value) < 2**63  # as torch has it
        return code.call(torch.pow, value, int(exponent.value) if whole else exponent.value)
    return code.call(torch.pow, value, code.emit(exponent))


def _emit_matmul(code: Emitter, left: Expr, right: Expr) -> Any:
    hidden = left.axes[-1] == "N"
    if len(left.axes) == len(right.axes) == 1:
        product = code.call(operator.mul, code.emit(left), code.emit(right))
        product = code.shown(product, 0.0) if hidden else product
        return code.call(torch.sum, product, -1, keepdim=True)
    a = code.visible(left, 0.0) if hidden and len(left.axes) == 1 else code.emit(left)
    b = code.visible(right, 0.0) if hidden and len(right.axes) == 1 else code.emit(right)
    if len(left.axes) == 2 and len(right.axes) == 1:
        return code.call(torch.matmul, b, _emit_swapped(code, left, a))
    return code.call(torch.matmul, a, b)


def _emit_swapped(code: Emitter, expr: Expr, value: Any) -> Any:
    """The transpose of an emitted matrix; two transposes undo each other."""
    if isinstance(expr, Call) and expr.function == "transpose":
        return code.emit(expr.args[0])
    return code.call(torch.transpose, value, -2, -1)


def _emit_transpose(code: Emitter, arg: Expr) -> Any:
    return _emit_swapped(code, arg, code.emit(arg))


def _emit_sumsq(code: Emitter, arg: Expr) -> Any:
    value = code.visible(arg, 0.0) if arg.axes == ("N",) else code.emit(arg)
    square = code.call(operator.mul, value, value)
    if len(arg.axes) == 2:
        return code.call(torch.unsqueeze, code.call(torch.sum, square, -1), -2)
    return code.call(torch.sum, square, -1, keepdim=True)


def _emit_norm(code: Emitter, arg: Expr) -> Any:
    return code.call(safe_sqrt, _emit_sumsq(code, arg))


def same(expr: Call, index: int, adjoint: Expr) -> Expr:
    """Every entry has the adjoint of the sum."""
    return adjoint


def _through_product(expr: Call, index: int, adjoint: Expr) -> Expr:
    return product([adjoint, *(a for i, a in enumerate(expr.args) if i != index)])


def _through_power(expr: Call, index: int, adjoint: Expr) -> Expr | None:
    base, exponent = expr.args
    if index == 1:
        return None
    return adjoint * exponent * base ** simplify(exponent - 1.0)


def _through_contraction(expr: Call, index: int, adjoint: Expr) -> Expr | None:
    left, right = expr.args
    if not expr.axes:  # dot product of two vectors
        return adjoint * (right if index == 0 else left)
    if index == 0 or adjoint.axes != expr.axes:
        return None  # a contraction of a matrix that varies, or a constant adjoint
    return call("transpose", left) @ adjoint


def _through_sumsq(expr: Call, index: int, adjoint: Expr) -> Expr | None:
    return 2.0 * adjoint * expr.args[0] if len(expr.args[0].axes) == 1 else None


def _over_patterns(args: tuple[Expr, ...]) -> bool:
    return args[0].axes[-1:] == ("N",)


def _all_positive(args: tuple[Expr, ...]) -> bool:
    return all(map(is_positive, args))


OPERATORS = (
    Function(
        "add",
        None,
        elementwise,
        "sum",
        fold=lambda *v: math.fsum(v),
        public=False,
        pull_back=same,
        emit=_emit_add,
        positive=_all_positive,
        normal_form=sum_form,
        associative=True,
    ),
    Function(
        "mul",
        None,
        elementwise,
        "product",
        fold=lambda *v: math.prod(v),
        public=False,
        pull_back=_through_product,
        emit=_emit_mul,
        positive=_all_positive,
        normal_form=product_form,
        associative=True,
    ),
    Function(
        "pow",
        2,
        power,
        "power",
        fold=math.pow,
        public=False,
        pull_back=_through_power,
        emit=_emit_pow,
        tame=_is_tame_power,
        positive=lambda args: is_positive(args[0]),
        normal_form=power_form,
    ),
    Function(
        "matmul",
        2,
        contraction,
        "contraction over the shared axis",
        public=False,
        pull_back=_through_contraction,
        emit=_emit_matmul,
        reads_mask=_over_patterns,
        normal_form=matmul_form,
    ),
    Function(
        "transpose",
        1,
        transposed,
        "transpose",
        public=False,
        emit=_emit_transpose,
        normal_form=transpose_form,
    ),
    Function(
        "sumsq",
        1,
        length,
        "squared length |v|^2",
        public=False,
        pull_back=_through_sumsq,
        emit=_emit_sumsq,
        reads_mask=_over_patterns,
        normal_form=sumsq_form,
        of_constant=lambda value, count: value**2 * count,
    ),
    Function(
        "norm",
        1,
        length,
        "length |v|",
        smooth=False,
        public=False,
        emit=_emit_norm,
        reads_mask=_over_patterns,
        of_constant=lambda value, count: call("abs", value) * call("sqrt", count),
    ),
)
