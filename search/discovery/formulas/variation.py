"""Variations of candidates: every one a small change that keeps a tree well typed.

`OPERATIONS` is the table; a new one is a function from trees to a tree and a row.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attenergy.energies.language import (
    FUNCTIONS,
    Call,
    Expr,
    FormulaError,
    Number,
    Symbol,
    call,
)
from attenergy.registry import ArgumentError, nearest
from attenergy.search.discovery.formulas.candidate import SYMBOLS, Candidate
from attenergy.search.discovery.formulas.generate import (
    EXPONENTS,
    random_number,
    random_tree,
    tidied,
    weights_of,
    with_argument,
)
from attenergy.search.discovery.formulas.grammar import (
    NUMBER,
    OPERATORS,
    SCALAR,
    Grammar,
    Production,
    kind_of,
)
from attenergy.search.discovery.formulas.positions import Path, node_at, replaced, walk

_TRIES = 20
_LARGEST_PART = 9

#: What an operation makes of trees; None, or a FormulaError, where it can make nothing.
Change = Callable[[Sequence[Expr], Grammar, random.Random], "Expr | None"]
Place = tuple[Path, Expr]


@dataclass(frozen=True)
class Operation:
    """One way to vary candidates.

    Attributes:
        name: as in `OPERATIONS`.
        doc: what it does, in one line.
        change: from the trees of the parents to a tree.
        parents: how many candidates it takes.
    """

    name: str
    doc: str
    change: Change
    parents: int = 1


def vary(
    operation: str | Operation,
    parents: Sequence[Candidate],
    grammar: Grammar,
    rng: random.Random,
) -> Candidate | None:
    """A variation of candidates, in normal form; None if a few tries gave none.

    It is an energy of xi and X, fits the grammar, and is none of the parents.

    Args:
        operation: a row of `OPERATIONS`, or its name.
        parents: as many candidates as the operation takes.
        grammar: what may be written.
        rng: what decides; the same state gives the same result in every process.

    Raises:
        ArgumentError: there is no such operation, or the number of parents is wrong.

    Example:
        >>> import random
        >>> from attenergy.search.discovery.formulas import Candidate, Grammar, vary
        >>> parent = Candidate.from_formula("0.5*|xi|^2 - sum_n(X @ xi)")
        >>> child = vary("insert", [parent], Grammar.of(), random.Random(0))
        >>> child is not None and child.key != parent.key
        True
    """
    operation = operation if isinstance(operation, Operation) else _operation(operation)
    if len(parents) != operation.parents:
        raise ArgumentError(
            f"'{operation.name}' takes {operation.parents} candidates, got {len(parents)}"
        )
    trees = [parent.tree for parent in parents]
    known = {parent.key for parent in parents}
    for _ in range(_TRIES):
        try:
            tree = operation.change(trees, grammar, rng)
            candidate = None if tree is None else Candidate(tidied(tree))
        except FormulaError:
            continue
        if candidate is not None and candidate.key not in known and grammar.allows(candidate):
            return candidate
    return None


def _operation(name: str) -> Operation:
    if name not in OPERATIONS:
        hint = nearest(name, list(OPERATIONS))
        raise ArgumentError(
            f"there is no operation '{name}'{f' ({hint})' if hint else ''}; operations: "
            f"{', '.join(OPERATIONS)}",
            topic="unknown-name",
        )
    return OPERATIONS[name]


def _choose(nodes: Sequence[Place], rng: random.Random) -> Place:
    """A node: what joins patterns and states more often than numbers, symbols and matrices."""
    return rng.choices(nodes, [_likelihood(node) for _, node in nodes])[0]


def _likelihood(node: Expr) -> float:
    if node.axes[1:]:
        return 0.1
    if not isinstance(node, Call):
        return 0.3
    return 1.0 if {"xi", "X"} <= node.names else 0.5


def _replace(trees: Sequence[Expr], grammar: Grammar, rng: random.Random) -> Expr:
    path, node = _choose(list(walk(trees[0])), rng)
    spare = max(grammar.most_nodes - trees[0].size + node.size, 1)
    size = rng.randint(1, min(_LARGEST_PART + node.size, spare))
    return replaced(trees[0], path, random_tree(grammar, kind_of(node), size, rng))


def _point(trees: Sequence[Expr], grammar: Grammar, rng: random.Random) -> Expr | None:
    path, node = _choose(list(walk(trees[0])), rng)
    if isinstance(node, Call):
        others = _other_calls(node, grammar, rng)
    else:
        others = [s for s in grammar.symbols if s.axes == node.axes and s != node]
        if isinstance(node, Symbol) and not node.axes:
            others.append(random_number(rng))
    return replaced(trees[0], path, rng.choice(others)) if others else None


def _other_calls(node: Call, grammar: Grammar, rng: random.Random) -> list[Expr]:
    """Calls of other functions: of the same arguments or, by name, of the first and new ones."""
    names = _other_functions(node, grammar)
    first: list[Production] = [
        production
        for production in grammar.productions
        if node.args
        and production.arguments
        and production.function not in (*OPERATORS, *names, node.function)
        and production.kind.axes == node.axes
        and production.arguments[0].allows(kind_of(node.args[0]))
    ]
    either: list[str | Production] = [*names, *first]
    chosen = rng.choice(either) if either else None
    if chosen is None:
        return []
    if isinstance(chosen, str):
        return [call(chosen, *node.args)]
    return [with_argument(grammar, chosen, 0, node.args[0], rng)]


def _other_functions(node: Call, grammar: Grammar) -> list[str]:
    """Functions that take the same arguments and give the same."""
    kinds = [kind_of(a) for a in node.args]
    names: dict[str, None] = {}
    for function, arguments, kind in grammar.productions:
        many = len(kinds) > 2 and FUNCTIONS[function].arity is None
        wanted = arguments if not many else (SCALAR,) * len(kinds)
        fits = many or (
            len(wanted) == len(kinds)
            and all(mine.allows(other) for mine, other in zip(wanted, kinds, strict=True))
        )
        if fits and function != node.function and (many or kind.axes == node.axes):
            names[function] = None
    return list(names)


def _insert(trees: Sequence[Expr], grammar: Grammar, rng: random.Random) -> Expr | None:
    path, node = _choose(list(walk(trees[0])), rng)
    own = kind_of(node)
    places = [
        (production, index)
        for production in grammar.productions
        if production.kind.axes == node.axes and production.function not in ("add", "mul")
        for index, wanted in enumerate(production.arguments)
        if wanted.allows(own)
    ]
    if not places:
        return None
    weights = weights_of(tuple(production for production, _ in places))
    production, index = rng.choices(places, weights)[0]
    return replaced(trees[0], path, with_argument(grammar, production, index, node, rng))


def _remove(trees: Sequence[Expr], grammar: Grammar, rng: random.Random) -> Expr | None:
    places = [
        (path, arg)
        for path, node in walk(trees[0])
        if isinstance(node, Call)
        for arg in node.args
        if arg.axes == node.axes
    ]
    return replaced(trees[0], *rng.choice(places)) if places else None


def _number(trees: Sequence[Expr], grammar: Grammar, rng: random.Random) -> Expr | None:
    places = [(path, node) for path, node in walk(trees[0]) if isinstance(node, Number)]
    if not places:
        return None
    path, number = rng.choice(places)
    above = node_at(trees[0], path[:-1])
    if isinstance(above, Call) and above.function == "pow" and path[-1] == 1:
        return replaced(trees[0], path, Number(rng.choice(EXPONENTS)))
    kind = rng.random()
    if kind < 0.2:
        return replaced(trees[0], path, random_number(rng))
    factor = -1.0 if kind < 0.3 else rng.lognormvariate(0.0, 0.5)
    return replaced(trees[0], path, Number(float(f"{number.value * factor:.3g}")))


def _term(trees: Sequence[Expr], grammar: Grammar, rng: random.Random) -> Expr | None:
    return _joined(trees[0], "add", grammar, rng)


def _factor(trees: Sequence[Expr], grammar: Grammar, rng: random.Random) -> Expr | None:
    return _joined(trees[0], "mul", grammar, rng)


def _joined(tree: Expr, function: str, grammar: Grammar, rng: random.Random) -> Expr | None:
    """One term or factor more, or one less."""
    nodes = list(walk(tree))
    joined = [(p, n) for p, n in nodes if isinstance(n, Call) and n.function == function]
    if joined and rng.random() < 0.5:
        path, long = rng.choice(joined)
        rest = list(long.args)
        rest.pop(rng.randrange(len(rest)))
        return replaced(tree, path, rest[0] if len(rest) == 1 else call(function, *rest))
    if function not in grammar.functions:
        return None
    path, node = _choose([(p, n) for p, n in nodes if not n.axes[1:]], rng)
    part = _scale(grammar, rng) if function == "mul" else _summand(node, grammar, rng)
    return replaced(tree, path, call(function, node, part))


def _summand(node: Expr, grammar: Grammar, rng: random.Random) -> Expr:
    part = random_tree(grammar, kind_of(node), rng.randint(1, _LARGEST_PART), rng)
    return -part if rng.random() < 0.5 else part


def _scale(grammar: Grammar, rng: random.Random) -> Expr:
    """A parameter, a number or any scalar, or one divided by it."""
    kind = rng.random()
    if kind < 0.5 and grammar.parameters:
        part: Expr = SYMBOLS[rng.choice(grammar.parameters)]
    else:
        part = random_tree(grammar, NUMBER if kind < 0.7 else SCALAR, rng.randint(1, 6), rng)
    return part**-1.0 if rng.random() < 0.3 else part


def _temperature(trees: Sequence[Expr], grammar: Grammar, rng: random.Random) -> Expr | None:
    """R(z) becomes R(p*z)/p for a vector z over patterns in it: near 0, it has the same slope."""
    scalars = [
        (path, node)
        for path, node in walk(trees[0])
        if isinstance(node, Call) and not node.axes and {"xi", "X"} <= node.names
    ]
    if not scalars or not grammar.parameters:
        return None
    path, node = rng.choice(scalars)
    vectors = [(p, n) for p, n in walk(node) if n.axes == ("N",) and "xi" in n.names]
    if not vectors:
        return None
    inner, vector = rng.choice(vectors)
    parameter = SYMBOLS[rng.choice(grammar.parameters)]
    return replaced(trees[0], path, replaced(node, inner, parameter * vector) / parameter)


def _crossover(trees: Sequence[Expr], grammar: Grammar, rng: random.Random) -> Expr | None:
    path, node = rng.choice(list(walk(trees[0])))
    parts = [part for _, part in walk(trees[1]) if part.axes == node.axes and part != node]
    return replaced(trees[0], path, rng.choice(parts)) if parts else None


#: Every way to vary candidates.
OPERATIONS: dict[str, Operation] = {
    row.name: row
    for row in (
        Operation("replace", "a part is replaced by a random one of the same kind", _replace),
        Operation("point", "a function, symbol or number is replaced by a like one", _point),
        Operation("insert", "a function is put around a part", _insert),
        Operation("remove", "a call is replaced by one of its arguments", _remove),
        Operation("number", "a number or an exponent is changed", _number),
        Operation("term", "a term of a sum is added or left out", _term),
        Operation("factor", "a factor of a product is added or left out", _factor),
        Operation("temperature", "R(z) becomes R(p*z)/p, p a parameter", _temperature),
        Operation("crossover", "a part is replaced by one of another candidate", _crossover, 2),
    )
}
