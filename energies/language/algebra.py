"""What a simplified node is made of: its sign, its factors and its terms."""

from __future__ import annotations

from attenergy.energies.language.nodes import Call, Expr, Number, Symbol


def is_positive(expr: Expr) -> bool:
    """Whether the value is certainly above zero everywhere."""
    if isinstance(expr, Number):
        return expr.value > 0
    if isinstance(expr, Symbol):
        return expr.positive
    assert isinstance(expr, Call)
    if expr.function in {"exp", "softplus", "softmax", "sigmoid", "count_n", "count_d"}:
        return True
    if expr.function in {"pow", "sqrt"}:
        return is_positive(expr.args[0])
    return expr.function in {"mul", "add"} and all(map(is_positive, expr.args))


def split_factors(expr: Expr) -> tuple[float, list[Expr]]:
    """A simplified node as a number times factors that are not products."""
    if isinstance(expr, Number):
        return expr.value, []
    if isinstance(expr, Call) and expr.function == "mul":
        numbers = [a.value for a in expr.args if isinstance(a, Number)]
        return (numbers[0] if numbers else 1.0), [a for a in expr.args if not isinstance(a, Number)]
    return 1.0, [expr]


def split_terms(expr: Expr) -> list[Expr]:
    """A simplified node as terms that are not sums."""
    return list(expr.args) if isinstance(expr, Call) and expr.function == "add" else [expr]
