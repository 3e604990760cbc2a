"""Where a field acts in an energy that was written without one.

A field h [N] is a bias on the scores. In the registry it stands beside them in their own units:
`lse(beta*X @ xi + h)`, `relu(1 + h - 0.5*beta*sqdist(X, xi))`. The same is done here: the largest
sub-trees that are affine in the scores, with factors that are scalars, get `+ h`.
"""

from __future__ import annotations

from attenergy.energies.language import FIELD, Call, Expr, call


def add_field(tree: Expr) -> Expr:
    """The tree with `+ h` at its scaled scores; as it is if it has none.

    Example:
        >>> from attenergy.energies.language import PATTERNS, XI, parse
        >>> from attenergy.search.discovery.formulas.field import add_field
        >>> print(add_field(parse("sum_n((2*(X @ xi) - 1)^2)", {"X": PATTERNS, "xi": XI})))
        sum_n((2*(X @ xi) + h - 1)^2)
    """
    if not isinstance(tree, Call):
        return tree
    if _is_affine(tree):
        return tree + FIELD
    return call(tree.function, *map(add_field, tree.args))


def _is_affine(tree: Expr) -> bool:
    """Whether it is a vector of scores times scalars, plus what reads no scores."""
    if not isinstance(tree, Call) or tree.axes != ("N",):
        return False
    if tree.function == "matmul":
        return "xi" in tree.names and not any(map(_has_scores, tree.args))
    own = [a for a in tree.args if _has_scores(a)]
    others = [a for a in tree.args if a not in own]
    if tree.function == "mul":
        return len(own) == 1 and _is_affine(own[0]) and not any(a.axes for a in others)
    return tree.function == "add" and bool(own) and all(map(_is_affine, own))


def _has_scores(tree: Expr) -> bool:
    """Whether somewhere in it stands a product of patterns with a state, one number each."""
    if not isinstance(tree, Call):
        return False
    if tree.function == "matmul" and tree.axes == ("N",) and "xi" in tree.names:
        return True
    return any(map(_has_scores, tree.args))
