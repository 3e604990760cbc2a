"""Whether a formula is log-sum-exp in other words, and which entries are its relatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch

from attenergy.energies.language import (
    PATTERNS,
    XI,
    Call,
    Expr,
    FormulaError,
    Number,
    call,
    simplify,
    substitute,
)
from attenergy.energies.language.algebra import is_positive, split_factors, split_terms
from attenergy.energies.language.simplify import expand
from attenergy.registry import EnergySpec, Registry
from attenergy.search.discovery.filters.evaluate import energy_of
from attenergy.search.discovery.filters.fingerprint import fingerprint_of, same_key
from attenergy.search.discovery.formulas.candidate import Candidate

LSE = Candidate.from_formula("0.5*|xi|^2 - lse(beta*X @ xi)/beta")
_SAME_BY_FORM = ("lse", "softmax")
_MORE = 1.25  # times a parameter or number, to see what it changes
#: What scalars of the numbers of components and patterns alone are evaluated at.
_INPUTS = {
    "xi": torch.ones(1, 16, dtype=torch.float64),
    "X": torch.ones(64, 16, dtype=torch.float64),
}
_SQUARE, _SCORES = simplify(call("sumsq", XI)), simplify(call("matmul", PATTERNS, XI))


def rediscovered(candidate: Candidate) -> str:
    """How a formula is known to be log-sum-exp; empty if it is not.

    `fingerprint`: its behaviour on the probes is that of log-sum-exp. `proof`: algebra makes it
    a |xi|^2 - b lse(c X xi) with positive scalars a, b and c, and its parameters and numbers, all
    of which are tuned, can make c anything while b c = 2a, so that its updates are those of softmax
    attention at every temperature. `proof, equal lengths`: the same for patterns of length 1, where
    |x - xi|^2 = 1 + |xi|^2 - 2 x'xi.

    Example:
        >>> rediscovered(Candidate.from_formula("2*|xi|^2 - alpha*log(sum_n(exp(beta*X @ xi)))"))
        'proof'
        >>> rediscovered(Candidate.from_formula("|xi|^2 - alpha*log(sum_n(exp(X @ xi)))"))
        ''
    """
    mine, other = fingerprint_of(candidate), fingerprint_of(LSE)
    assert other is not None
    if mine is not None and same_key(mine.key, other.key):
        return "fingerprint"
    if _is_free(candidate, lambda tree: tree):
        return "proof"
    return "proof, equal lengths" if _is_free(candidate, _on_sphere) else ""


def relatives(registry: Registry) -> dict[str, str]:
    """Entries that may not be seeds where log-sum-exp is to be rediscovered, and why not.

    Those that are log-sum-exp, in whatever words, and those whose formula calls `lse` or `softmax`,
    as which log(sum_n(exp(...))) counts as well.
    """
    reasons: dict[str, str] = {}
    for name, spec in registry.energies.items():
        candidate = Candidate.from_entry(spec)
        if candidate is not None and (why := rediscovered(candidate) or _calls(candidate.tree)):
            reasons[name] = why
    return reasons


def seeds(registry: Registry) -> tuple[str, ...]:
    """The entries that candidates can say and that are no relatives."""
    barred = relatives(registry)
    return tuple(
        name for name, spec in registry.energies.items() if name not in barred and _sayable(spec)
    )


def _sayable(spec: EnergySpec) -> bool:
    return Candidate.from_entry(spec) is not None


def _calls(tree: Expr) -> str:
    """`calls lse`, or empty."""
    tree = _log_sums(tree)
    if not isinstance(tree, Call):
        return ""
    if tree.function in _SAME_BY_FORM:
        return f"calls {tree.function}"
    return next(filter(None, map(_calls, tree.args)), "")


def _is_free(candidate: Candidate, change: Callable[[Expr], Expr]) -> bool:
    """Whether c can be anything while b c = 2a, as `rediscovered` says."""
    ones = dict.fromkeys(candidate.parameters, 1.0)
    start = _temperature_and_scale(candidate, ones, change)
    if start is None:
        return False
    others = [(candidate, {**ones, name: _MORE}) for name in ones]
    for place, number in enumerate(candidate.numbers):
        numbers = list(candidate.numbers)
        numbers[place] = number * _MORE
        others.append((candidate.with_numbers(numbers), ones))
    slopes = []
    for other, values in others:
        point = _temperature_and_scale(other, values, change)
        if point is not None:
            slopes.append([end - begin for end, begin in zip(point, start, strict=True)])
    rank = int(np.linalg.matrix_rank(np.array(slopes), tol=1e-6)) if slopes else 0
    if rank == 1 and all(abs(scale) < 1e-9 for _, scale in slopes):
        return abs(start[1]) < 1e-9  # the scale is 1 whatever they are
    return rank == 2


def _temperature_and_scale(
    candidate: Candidate, values: Mapping[str, float], change: Callable[[Expr], Expr]
) -> tuple[float, float] | None:
    """The logarithms of c and of b c/(2a); None if the formula is no log-sum-exp."""
    known = {name: Number(value) for name, value in values.items()}
    try:
        tree = change(simplify(substitute(candidate.tree, dict[str, Expr](known))))
        terms = split_terms(expand(simplify(_log_sums(tree))))
    except FormulaError:
        return None
    squares = [t for t in terms if _factor(t, _SQUARE) is not None]
    others = [t for t in terms if "xi" in t.names and t not in squares]
    if len(squares) != 1 or len(others) != 1:
        return None
    sums = [f for f in split_factors(others[0])[1] if f.names >= {"xi"}]
    if len(sums) != 1 or not isinstance(sums[0], Call) or sums[0].function != "lse":
        return None
    a, b = _factor(squares[0], _SQUARE), _factor(others[0], sums[0])
    c = _factor(sums[0].args[0], _SCORES)
    if a is None or b is None or c is None or min(a, -b, c) <= 0:
        return None
    return math.log(c), math.log(-b * c / (2 * a))


def _factor(tree: Expr, core: Expr) -> float | None:
    """The number k of a tree k*core; None if it is no such tree."""
    number, factors = split_factors(tree)
    rest = [f for f in factors if f != core]
    if len(rest) != len(factors) - 1 or any(f.axes for f in rest):
        return None
    if any(not f.names.isdisjoint({"xi", "X"}) for f in rest):
        return None
    value = energy_of(math.prod(rest, start=Number(number)), _INPUTS)
    return float(value[0]) if bool(value.isfinite().all()) else None


def _log_sums(tree: Expr) -> Expr:
    """The tree with log(c*sum_n(exp(z))) as log(c) + lse(z)."""
    if not isinstance(tree, Call):
        return tree
    node = call(tree.function, *map(_log_sums, tree.args))
    if not isinstance(node, Call) or node.function != "log":
        return node
    number, factors = split_factors(simplify(node.args[0]))
    sums = [z for f in factors if (z := _summed_exponent(f)) is not None]
    rest = [f for f in factors if _summed_exponent(f) is None]
    if len(sums) != 1 or number <= 0 or not all(map(is_positive, rest)):
        return node
    scale = math.prod(rest, start=Number(number))
    return call("log", scale) + call("lse", sums[0])


def _summed_exponent(tree: Expr) -> Expr | None:
    """z of sum_n(exp(z))."""
    if isinstance(tree, Call) and tree.function == "sum_n":
        inner = tree.args[0]
        if isinstance(inner, Call) and inner.function == "exp":
            return inner.args[0]
    return None


def _on_sphere(tree: Expr) -> Expr:
    """The tree for patterns of length 1: squared distances by scores.

    Raises:
        FormulaError: nothing is left of a vector that is summed.
    """
    if not isinstance(tree, Call):
        return tree
    if tree.function == "sqdist" and set(map(str, tree.args)) == {"X", "xi"}:
        return 1 + _SQUARE - 2 * _SCORES
    if tree.function in ("sumsq", "norm") and tree.args == (PATTERNS,):
        return Number(1.0)
    return call(tree.function, *map(_on_sphere, tree.args))
