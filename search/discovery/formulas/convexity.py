"""Whether an energy is provably 1/2 A |xi|^2 - v(xi) with v convex, read from its tree.

The rules are those of disciplined convex programming: a sum of convex functions is convex, and so
is an increasing convex function of a convex one, a convex function of an affine one, and so on.
Others are added, without which log-sum-exp would only be recognised by its name: exp of a convex
function is log-convex, sums and products of log-convex functions are log-convex, and the logarithm
of one is convex. What no rule covers counts as unknown.

Source: Grant, Boyd and Ye 2006, doi:10.1007/0-387-30528-9_7; Boyd and Vandenberghe, section 3.5.
"""

from __future__ import annotations

from enum import Enum

from attenergy.energies.language import XI, Call, Expr, Number, call, simplify, to_text
from attenergy.energies.language.algebra import is_positive as is_surely_positive
from attenergy.energies.language.algebra import split_factors, split_terms
from attenergy.energies.language.nodes import Symbol
from attenergy.energies.language.simplify import expand


class Shape(Enum):
    """What is known of how a function of xi bends."""

    AFFINE = "affine"
    CONVEX = "convex"
    CONCAVE = "concave"
    UNKNOWN = "unknown"

    def negated(self) -> Shape:
        """The shape of the negative."""
        turned = {Shape.CONVEX: Shape.CONCAVE, Shape.CONCAVE: Shape.CONVEX}
        return turned.get(self, self)


#: Convex functions that rise in every entry of their first argument.
_CONVEX_RISING = frozenset(
    ["exp", "relu", "softplus", "lse", "max_n", "sparsemax_conj", "entmax_conj", "normmax_conj"]
) | {"ksubsets_conj"}
#: Convex functions that rise where all entries of their argument are at least 0.
_CONVEX_EVEN = frozenset(["abs", "logcosh", "sumsq", "norm"])
_CONCAVE_RISING = frozenset(["log", "sqrt"])
_SUMS = frozenset(["sum_n", "sum_d", "transpose"])
_AT_LEAST_0 = frozenset(["sumsq", "norm", "abs", "relu", "logcosh", "step"])
_SQUARE = simplify(call("sumsq", XI))


def quadratic_part(tree: Expr) -> float | str | None:
    """A with E = 1/2 A |xi|^2 - v(xi), v convex and A above 0; None if that is not proven.

    Args:
        tree: a scalar over xi, X, h and parameters.

    Returns:
        A as entries declare it: a number, or text over parameters and D.

    Example:
        >>> from attenergy.search.discovery.formulas import Candidate, quadratic_part
        >>> quadratic_part(Candidate.from_formula("alpha*|xi|^2 - log(sum_n(exp(X @ xi)))").tree)
        '2*alpha'
        >>> quadratic_part(Candidate.from_formula("|xi|^2 + lse(X @ xi)").tree) is None
        True
    """
    squares: list[Expr] = []
    for term in split_terms(expand(simplify(tree))):
        coefficient = _of_square(term)
        if coefficient is not None and is_positive(coefficient):
            squares.append(coefficient)
        elif shape_of(term) not in (Shape.CONCAVE, Shape.AFFINE):
            return None
    if not squares or any(c.per_state or "X" in c.names for c in squares):
        return None
    total = simplify(2.0 * (squares[0] if len(squares) == 1 else call("add", *squares)))
    if isinstance(total, Number):
        return total.value
    return to_text(simplify(_with_width(total)))


def _of_square(term: Expr) -> Expr | None:
    """C of a term c*|xi|^2."""
    number, factors = split_factors(term)
    if _SQUARE not in factors:
        return None
    rest = [f for f in factors if f != _SQUARE]
    if any("xi" in f.names for f in rest) or len(rest) != len(factors) - 1:
        return None
    return call("mul", Number(number), *rest) if rest else Number(number)


def _with_width(tree: Expr) -> Expr:
    """The tree with D in the place of count_d()."""
    if not isinstance(tree, Call):
        return tree
    if tree.function == "count_d":
        return Symbol((), "D", positive=True)
    return call(tree.function, *map(_with_width, tree.args))


def is_at_least_0(tree: Expr) -> bool:
    """Whether no entry of the value is below 0, as far as that can be read from the tree."""
    if isinstance(tree, Number):
        return tree.value >= 0
    if is_positive(tree):
        return True
    if not isinstance(tree, Call):
        return False
    if tree.function in _AT_LEAST_0:
        return True
    if tree.function == "pow":
        exponent = tree.args[1]
        even = isinstance(exponent, Number) and exponent.value > 0 and exponent.value % 2 == 0
        return even or is_at_least_0(tree.args[0])
    if tree.function in ("add", "mul", "matmul", *_SUMS):
        return all(map(is_at_least_0, tree.args))
    return tree.function in ("max_n", "sqrt") and is_at_least_0(tree.args[0])


def is_positive(tree: Expr) -> bool:
    """Whether every entry of the value is above 0, as far as that can be read from the tree."""
    if is_surely_positive(tree):
        return True
    if not isinstance(tree, Call):
        return False
    if tree.function == "add":
        return all(map(is_at_least_0, tree.args)) and any(map(is_positive, tree.args))
    if tree.function in ("mul", "sum_n", "sum_d", "max_n"):
        return all(map(is_positive, tree.args))
    return tree.function == "pow" and is_positive(tree.args[0])


def shape_of(tree: Expr) -> Shape:
    """How the value, or every entry of it, bends as a function of xi."""
    if "xi" not in tree.names or tree == XI:
        return Shape.AFFINE
    if not isinstance(tree, Call):
        return Shape.UNKNOWN
    if tree.function == "add":
        return _of_sum([shape_of(a) for a in tree.args])
    if tree.function == "mul":
        return _of_product(tree)
    if tree.function == "pow":
        return _of_power(*tree.args)
    if tree.function == "matmul":
        return _of_contraction(tree)
    return _of_function(tree.function, tree.args[0])


def _of_function(name: str, argument: Expr) -> Shape:
    inner = shape_of(argument)
    rising = inner in (Shape.AFFINE, Shape.CONVEX)
    even = inner is Shape.AFFINE or (rising and is_at_least_0(argument))
    if name in _SUMS:
        return inner
    if (name in _CONVEX_RISING and rising) or (name in _CONVEX_EVEN and even):
        return Shape.CONVEX
    if name == "log" and is_log_convex(argument):
        return Shape.CONVEX
    if name in _CONCAVE_RISING and inner in (Shape.AFFINE, Shape.CONCAVE):
        return Shape.CONCAVE
    return Shape.UNKNOWN


def is_log_convex(tree: Expr) -> bool:
    """Whether log of the value is convex in xi, and the value above 0."""
    if "xi" not in tree.names:
        return is_positive(tree)
    if not isinstance(tree, Call):
        return False
    if tree.function == "exp":
        return shape_of(tree.args[0]) in (Shape.AFFINE, Shape.CONVEX)
    if tree.function in ("add", "mul", "sum_n", "sum_d"):
        return all(map(is_log_convex, tree.args))
    if tree.function == "pow" and "xi" not in tree.args[1].names:
        return is_positive(tree.args[1]) and is_log_convex(tree.args[0])
    return False


def _of_sum(shapes: list[Shape]) -> Shape:
    bent = {shape for shape in shapes if shape is not Shape.AFFINE}
    if not bent:
        return Shape.AFFINE
    return bent.pop() if len(bent) == 1 else Shape.UNKNOWN


def _of_product(tree: Call) -> Shape:
    """A product with one factor that reads xi, the others of a known sign."""
    own = [a for a in tree.args if "xi" in a.names]
    if len(own) != 1:
        return Shape.UNKNOWN
    shape = shape_of(own[0])
    if shape is Shape.AFFINE:
        return shape
    negative = False
    for factor in (a for a in tree.args if a is not own[0]):
        if isinstance(factor, Number) and factor.value < 0:
            negative = not negative
        elif not is_at_least_0(factor):
            return Shape.UNKNOWN
    return shape.negated() if negative else shape


def _of_power(base: Expr, exponent: Expr) -> Shape:
    inner = shape_of(base)
    if not isinstance(exponent, Number):
        return Shape.UNKNOWN
    p = exponent.value
    if p == 1:
        return inner
    if p >= 2 and p % 2 == 0 and inner is Shape.AFFINE:
        return Shape.CONVEX
    if p > 1 and is_at_least_0(base) and inner in (Shape.AFFINE, Shape.CONVEX):
        return Shape.CONVEX
    if is_positive(base) and inner in (Shape.AFFINE, Shape.CONCAVE):
        return Shape.CONVEX if p < 0 else Shape.CONCAVE if p < 1 else Shape.UNKNOWN
    return Shape.UNKNOWN


def _of_contraction(tree: Call) -> Shape:
    own = [a for a in tree.args if "xi" in a.names]
    if len(own) != 1:
        return Shape.UNKNOWN
    other = next(a for a in tree.args if a is not own[0])
    shape = shape_of(own[0])
    return shape if shape is Shape.AFFINE or is_at_least_0(other) else Shape.UNKNOWN
