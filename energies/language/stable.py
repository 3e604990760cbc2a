"""Trees in a form whose code neither overflows nor loses digits where the formula does not.

A program that writes formulas puts log-sum-exp together from its parts, and exp(100) is no number
in single precision. Logarithms of what is made of exponentials are therefore taken before the code
is written:

    log(exp v) = v                    log(sum_n(c exp v)) = lse(v + log c)
    log(a^p) = p log a                log(a + b) = log a + softplus(log b - log a)
    exp(v)/sum_n(exp v) = softmax(v)

for an a and b of which one is made of exponentials and the other is above 0. The normal form
(`simplify`) and what is printed stay as they were written.
"""

from __future__ import annotations

from attenergy.energies.language.algebra import is_positive, split_terms
from attenergy.energies.language.nodes import Call, Expr, Number, call
from attenergy.energies.language.simplify import product, simplify


def stable_form(tree: Expr) -> Expr:
    """The normal form of a tree, with logarithms of exponentials taken.

    Example:
        >>> from attenergy.energies.language.stable import stable_form
        >>> print(stable_form(parse("log(sum_n(exp(X @ xi)))", {"X": PATTERNS, "xi": XI})))
        lse(X @ xi)
    """
    simple = simplify(tree)
    changed = _rewritten(simple)
    return simple if changed is simple else simplify(changed)


def _rewritten(tree: Expr) -> Expr:
    if not isinstance(tree, Call):
        return tree
    args = [_rewritten(a) for a in tree.args]
    if any(new is not old for new, old in zip(args, tree.args, strict=True)):
        changed = simplify(call(tree.function, *args))
        if not isinstance(changed, Call):
            return changed
        tree = changed
    shorter = None
    if tree.function == "log":
        shorter = _logarithm(tree.args[0])
    elif tree.function == "mul":
        shorter = _with_softmax(tree)
    return tree if shorter is None else simplify(shorter)


def _logarithm(tree: Expr) -> Expr | None:
    """Log of a tree that is made of exponentials; None if it is not, or may be below 0."""
    if not isinstance(tree, Call):
        return None
    if tree.function == "exp":
        return tree.args[0]
    if tree.function == "pow":
        inner = _logarithm(tree.args[0])
        return None if inner is None else tree.args[1] * inner
    if tree.function == "sum_n" and tree.args[0].axes == ("N",):
        inner = _logarithm(tree.args[0])
        return None if inner is None else call("lse", inner)
    if tree.function == "mul":
        return _of_parts(tree.args)
    if tree.function == "add":
        return _of_sum(tree.args)
    return None


def _of_parts(factors: tuple[Expr, ...]) -> Expr | None:
    """Log of a product of positive factors, some of them made of exponentials."""
    logarithms = [_logarithm(f) for f in factors]
    if all(value is None for value in logarithms):
        return None
    terms: list[Expr] = []
    for factor, value in zip(factors, logarithms, strict=True):
        if value is None and not is_positive(factor):
            return None
        terms.append(call("log", factor) if value is None else value)
    return terms[0] if len(terms) == 1 else call("add", *terms)


def _of_sum(terms: tuple[Expr, ...]) -> Expr | None:
    """Log of a sum of positive terms, some of them made of exponentials."""
    total: Expr | None = None
    rest: list[Expr] = []
    for term in terms:
        value = _logarithm(term)
        if value is None:
            rest.append(term)
        else:
            total = value if total is None else _log_of_both(total, value)
    if total is None or not all(map(is_positive, rest)):
        return None
    if rest:
        others = rest[0] if len(rest) == 1 else call("add", *rest)
        total = _log_of_both(call("log", others), total)
    return total


def _log_of_both(one: Expr, other: Expr) -> Expr:
    """log(exp a + exp b)."""
    return one + call("softplus", other - one)


def _with_softmax(tree: Call) -> Expr | None:
    """A product in which exp(v) is divided by sum_n(exp(v))."""
    for index, factor in enumerate(tree.args):
        scores = _normaliser(factor)
        if scores is None:
            continue
        others = [a for i, a in enumerate(tree.args) if i != index]
        for place, other in enumerate(others):
            weighted = _of_weights(other, scores)
            if weighted is not None:
                return product([*others[:place], *others[place + 1 :], weighted])
    return None


def _normaliser(tree: Expr) -> Expr | None:
    """V of 1/sum_n(exp(v))."""
    if not (isinstance(tree, Call) and tree.function == "pow" and tree.args[1] == Number(-1.0)):
        return None
    total = tree.args[0]
    if not (isinstance(total, Call) and total.function == "sum_n"):
        return None
    inside = total.args[0]
    is_exp = isinstance(inside, Call) and inside.function == "exp" and inside.axes == ("N",)
    return inside.args[0] if is_exp and isinstance(inside, Call) else None


def _of_weights(tree: Expr, scores: Expr) -> Expr | None:
    """A tree that is linear in exp(v), with softmax(v) in its place."""
    if not isinstance(tree, Call):
        return None
    if tree.function == "exp":
        return call("softmax", scores) if tree.args[0] == scores else None
    if tree.function == "add":
        terms = [_of_weights(term, scores) for term in split_terms(tree)]
        known = [term for term in terms if term is not None]
        return call("add", *known) if len(known) == len(terms) else None
    if tree.function in ("mul", "sum_n", "matmul"):
        for index, arg in enumerate(tree.args):
            weighted = _of_weights(arg, scores)
            if weighted is not None:
                return call(tree.function, *tree.args[:index], weighted, *tree.args[index + 1 :])
    return None
