"""Random trees: energies that nobody thought of, and the control of the search.

How a tree is drawn:

1. A size is drawn uniformly from 8 to the grammar's most nodes.
2. With probability 0.8 the energy is `c*|xi|^2 - R`, c being 0.5, a number or a parameter, as that
   is what most energies look like that attract states; else it is R alone. R is a random scalar.
3. A value of some kind and size is drawn from the top: a function among those that give the kind,
   with the weights below, and one of the ways to call it, uniformly. What remains of the size is
   cut at random between the arguments, and these are drawn in turn. Where the size is used up, or
   with probability 0.1 (0.7 for what may not depend on the state), a leaf is drawn: a symbol, a
   number, a count, `X @ xi`, `sqdist(X, xi)`, `|xi|^2` or `|X|^2`.
4. What a logarithm, a root or a broken power of is taken becomes positive with probability 0.8.
5. The tree is brought into its normal form, its numbers rounded. It is drawn again if no term of it
   reads xi and X together, or it does not fit the grammar.

Every tree of the grammar that has no more nodes than allowed can be drawn.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import cache

from attenergy.energies.language import (
    FUNCTIONS,
    PATTERNS,
    XI,
    Call,
    Expr,
    FormulaError,
    Number,
    call,
    simplify,
)
from attenergy.registry import ArgumentError
from attenergy.search.discovery.formulas.candidate import SYMBOLS, Candidate
from attenergy.search.discovery.formulas.convexity import is_positive
from attenergy.search.discovery.formulas.grammar import (
    MATRIX,
    NUMBER,
    OPERATORS,
    SCALAR,
    SCORES,
    STATE,
    TURNED,
    Grammar,
    Kind,
    Production,
    called_in,
)

_TRIES = 500
_SMALLEST = 8
_ENDS_EARLY, _FIXED_ENDS = 0.1, 0.7
_IS_ATTRACTED = 0.8
_MADE_POSITIVE = 0.8
#: How often functions are drawn, beside 1 for any that is not named here.
_WEIGHTS = {"add": 5.0, "mul": 5.0, "pow": 2.0, "matmul": 2.0, "norm": 0.5, "sqdist": 1.0}
_OF_REDUCTIONS = 3.0  # from a vector over patterns to a scalar
_OF_MATRICES = 0.1  # what is done to all patterns alike, before they meet a state
EXPONENTS = (2.0, 2.0, 2.0, 3.0, 4.0, 0.5, 1.5, -1.0, -1.0, -2.0)
_ORDERS = (1.25, 1.5, 2.0)

_Leaf = tuple[float, Callable[[Grammar, random.Random], Expr]]


def random_candidate(grammar: Grammar, rng: random.Random) -> Candidate:
    """A random energy over xi and X; the module says how it is drawn.

    Args:
        grammar: what it may be made of.
        rng: what decides; the same state gives the same candidate in every process.

    Raises:
        ArgumentError: no energy can be written with so few functions.

    Example:
        >>> import random
        >>> from attenergy.search.discovery.formulas import Grammar, random_candidate
        >>> candidate = random_candidate(Grammar.of(), random.Random(0))
        >>> {"xi", "X"} <= candidate.tree.names
        True
    """
    for _ in range(_TRIES):
        try:
            candidate = Candidate(tidied(_random_energy(grammar, rng)))
        except FormulaError:
            continue
        if grammar.allows(candidate):
            return candidate
    raise ArgumentError(
        f"no energy was written in {_TRIES} tries with the functions {', '.join(grammar.functions)}"
        f" and at most {grammar.most_nodes} nodes"
    )


def random_tree(grammar: Grammar, kind: Kind, size: int, rng: random.Random) -> Expr:
    """A random value of a kind with about so many nodes.

    Raises:
        FormulaError: what was drawn cannot be written (a constant that is not finite, say).
    """
    leaves = _leaves(grammar, kind)
    options = _growing(grammar, kind, size)
    if leaves and (not options or rng.random() < (_FIXED_ENDS if kind == NUMBER else _ENDS_EARLY)):
        return _leaf(grammar, leaves, size, rng)
    if not options:
        raise FormulaError(f"no value of the kind {kind} has {size} nodes", topic="formula-type")
    production = rng.choices(options, weights_of(options))[0]
    return _called(grammar, production, size - 1, rng)


def random_number(rng: random.Random) -> Number:
    """A small integer or two digits between 0.1 and 10, evenly on a logarithmic scale."""
    if rng.random() < 0.4:
        return Number(rng.choice((1.0, 2.0, 2.0, 3.0, 4.0)))
    value = float(f"{10 ** rng.uniform(-1, 1):.2g}")
    return Number(0.5 if rng.random() < 0.2 else value)


def random_exponent(grammar: Grammar, rng: random.Random) -> Expr:
    """A usual exponent or, one time in eight, a parameter."""
    if grammar.parameters and rng.random() < 0.125:
        return _parameter(grammar, rng)
    return Number(rng.choice(EXPONENTS))


def tidied(tree: Expr) -> Expr:
    """The normal form with four digits of every number.

    Raises:
        FormulaError: a number that algebra makes is not finite.
    """
    return simplify(_rounded(simplify(tree)))


def _rounded(tree: Expr) -> Expr:
    if isinstance(tree, Number):
        return tree if tree.value.is_integer() else Number(float(f"{tree.value:.4g}"))
    return call(tree.function, *map(_rounded, tree.args)) if isinstance(tree, Call) else tree


def with_argument(
    grammar: Grammar, production: Production, index: int, node: Expr, rng: random.Random
) -> Expr:
    """A call with a node as one of its arguments, the others small and random.

    Raises:
        FormulaError: the node does not fit, or what was drawn cannot be written.
    """
    args = [
        node if i == index else _argument(grammar, production, i, rng.randint(1, 4), rng)
        for i in range(len(production.arguments))
    ]
    return call(production.function, *args)


def _random_energy(grammar: Grammar, rng: random.Random) -> Expr:
    size = rng.randint(_SMALLEST, grammar.most_nodes)
    if rng.random() >= _IS_ATTRACTED:
        return random_tree(grammar, SCALAR, size, rng)
    kind = rng.random()
    if kind < 0.5 or not grammar.parameters:
        factor: Expr = Number(0.5)
    else:
        factor = _parameter(grammar, rng) if kind < 0.75 else random_number(rng)
    return factor * call("sumsq", XI) - random_tree(grammar, SCALAR, max(size - 6, 4), rng)


@cache
def weights_of(productions: tuple[Production, ...]) -> list[float]:
    """How often each of them is drawn; a function with many has no more than one with few."""
    count = Counter(p.function for p in productions)
    return [_weight(p) / count[p.function] for p in productions]


def _weight(production: Production) -> float:
    if production.kind.axes == () and SCORES in production.arguments:
        return _OF_REDUCTIONS
    if production.function not in _WEIGHTS and {MATRIX, TURNED} & set(production.arguments):
        return _OF_MATRICES
    return _WEIGHTS.get(production.function, 1.0)


def _called(grammar: Grammar, production: Production, size: int, rng: random.Random) -> Expr:
    """A call whose arguments together have about so many nodes."""
    least = [smallest(grammar, kind) for kind in production.arguments]
    spare = max(size - sum(least), 0)
    cuts = sorted(rng.randint(0, spare) for _ in least[1:])
    shares = [b - a for a, b in zip([0, *cuts], [*cuts, spare], strict=True)][: len(least)]
    args = [
        _argument(grammar, production, i, least[i] + share, rng) for i, share in enumerate(shares)
    ]
    return call(production.function, *args)


def _argument(
    grammar: Grammar, production: Production, index: int, size: int, rng: random.Random
) -> Expr:
    """A random argument of a call, where it is likely to have a value."""
    kind = production.arguments[index]
    if kind == NUMBER and index == 1 and production.function == "pow":
        return random_exponent(grammar, rng)
    if kind == NUMBER and index == 1 and production.function not in OPERATORS:
        return Number(rng.choice(_ORDERS))
    tree = random_tree(grammar, kind, size, rng)
    if index == 0 and not kind.axes[1:] and _needs_positive(production.function):
        return _made_positive(grammar, tree, rng)
    return tree


@cache
def _needs_positive(function: str) -> bool:
    """Whether a function of one number has no value at numbers below 0."""
    fold = FUNCTIONS[function].fold
    if fold is None or FUNCTIONS[function].arity != 1:
        return False
    try:
        fold(-1.0)
    except (ValueError, OverflowError, ZeroDivisionError):
        return True
    return False


def _made_positive(grammar: Grammar, tree: Expr, rng: random.Random) -> Expr:
    """Mostly a tree that is above 0 wherever it has a value."""
    if is_positive(tree) or rng.random() >= _MADE_POSITIVE:
        return tree
    ways: list[str] = [name for name in ("exp", "softplus") if name in grammar.functions]
    ways += ["square"] if {"add", "pow"} <= set(grammar.functions) else []
    way = rng.choice(ways) if ways else ""
    if way == "square":
        return Number(1.0) + tree**2
    return call(way, tree) if way else tree


def _parameter(grammar: Grammar, rng: random.Random) -> Expr:
    return SYMBOLS[rng.choice(grammar.parameters)]


def _leaf(grammar: Grammar, leaves: list[_Leaf], size: int, rng: random.Random) -> Expr:
    weights = [weight for weight, _ in leaves]
    for _ in range(8):
        tree = rng.choices([make for _, make in leaves], weights)[0](grammar, rng)
        if tree.size <= size:
            return tree
    return min((make(grammar, rng) for _, make in leaves), key=lambda t: t.size)


def _is_made_of(grammar: Grammar, tree: Expr) -> bool:
    return called_in(tree) <= set(grammar.functions)


_DISTANCES = call("sqdist", PATTERNS, XI)


@cache
def _leaves(grammar: Grammar, kind: Kind) -> list[_Leaf]:
    """What a value of a kind may end in, with how often."""
    numbers: list[_Leaf] = [(3.0, lambda grammar, rng: random_number(rng))]
    if grammar.parameters:
        numbers.append((3.0, _parameter))
    trees: list[tuple[float, Expr]] = []
    leaves: list[_Leaf] = []
    if kind in (SCALAR, NUMBER):
        leaves += numbers
    if kind == SCALAR:
        trees.append((2.0, call("sumsq", XI)))
    elif kind == STATE:
        trees.append((1.0, XI))
    elif kind == SCORES:
        trees += [(4.0, PATTERNS @ XI), (1.0, _DISTANCES), (0.5, call("sumsq", PATTERNS))]
    elif kind == MATRIX:
        trees.append((1.0, PATTERNS))
    elif kind == TURNED:
        trees.append((1.0, call("transpose", PATTERNS)))
    elif kind.axes == ("N",):
        trees.append((1.0, call("sumsq", PATTERNS)))
    trees += [(0.3, call(p.function)) for p in grammar.giving(kind) if not p.arguments]
    leaves += [(w, _always(tree)) for w, tree in trees if _is_made_of(grammar, tree)]
    return leaves


def _always(tree: Expr) -> Callable[[Grammar, random.Random], Expr]:
    return lambda grammar, rng: tree


@cache
def _growing(grammar: Grammar, kind: Kind, size: int) -> tuple[Production, ...]:
    """The calls that give a kind with at most so many nodes, and can be completed."""
    return tuple(
        p
        for p in grammar.giving(kind)
        if p.arguments and 1 + sum(smallest(grammar, k) for k in p.arguments) <= size
    )


def smallest(grammar: Grammar, kind: Kind) -> int:
    """The fewest nodes of a value of a kind; very many if there is none."""
    return _smallest(grammar)[kind]


@cache
def _smallest(grammar: Grammar) -> dict[Kind, int]:
    rng = random.Random(0)
    kinds = {k for p in grammar.productions for k in (p.kind, *p.arguments)}
    sizes = {
        kind: min((make(grammar, rng).size for _, make in _leaves(grammar, kind)), default=10**6)
        for kind in kinds | {SCALAR, SCORES}
    }
    while True:
        before = dict(sizes)
        for production in grammar.productions:
            size = 1 + sum(sizes[k] for k in production.arguments)
            for kind, least in sizes.items():
                if kind.allows(production.kind):
                    sizes[kind] = min(least, size)
        if sizes == before:
            return sizes
