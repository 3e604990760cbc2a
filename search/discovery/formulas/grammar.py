"""Which trees may be written: kinds of values, and the calls that make one kind from others.

The calls are read from the language's table of functions by trying each of its rows on arguments of
every kind, so that a function that a plug-in registers takes part by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

from attenergy.energies.language import (
    FUNCTIONS,
    PATTERNS,
    PUBLIC,
    XI,
    Axes,
    Call,
    Expr,
    FormulaError,
    Function,
    Symbol,
    call,
)
from attenergy.energies.language.algebra import split_terms
from attenergy.energies.language.simplify import expand
from attenergy.registry import ArgumentError, Use, load_plugins, nearest
from attenergy.search.discovery.formulas.candidate import PARAMETERS, SYMBOLS, Candidate

#: Signs of the language, which are calls that a formula does not make by name.
OPERATORS = ("add", "mul", "pow", "matmul", "transpose", "sumsq", "norm")
#: Most letters of a candidate's formula; a field and other names still fit into those of an entry.
MOST_LETTERS = 400


class Kind(NamedTuple):
    """What a value is.

    Attributes:
        axes: as of a node.
        fixed: whether it must be the same for all states, as exponents and matrices must.
    """

    axes: Axes
    fixed: bool = False

    def allows(self, other: Kind) -> bool:
        """Whether a value of the other kind may stand where this one is asked for."""
        return self.axes == other.axes and (other.fixed or not self.fixed)


SCALAR, STATE, SCORES = Kind(()), Kind(("D",)), Kind(("N",))
MATRIX, TURNED = Kind(("N", "D"), True), Kind(("D", "N"), True)
NUMBER = Kind((), True)
KINDS = (SCALAR, NUMBER, STATE, Kind(("D",), True), SCORES, Kind(("N",), True), MATRIX, TURNED)


class Production(NamedTuple):
    """A call: its function, the kinds of its arguments and the kind of its value."""

    function: str
    arguments: tuple[Kind, ...]
    kind: Kind


def kind_of(tree: Expr) -> Kind:
    """The kind of a node's value.

    Example:
        >>> from attenergy.search.discovery.formulas.grammar import kind_of
        >>> kind_of(Candidate.from_formula("|xi|^2").tree)
        Kind(axes=(), fixed=False)
    """
    return Kind(tree.axes, not tree.per_state)


@dataclass(frozen=True)
class Grammar:
    """What candidates may be made of. Made by `Grammar.of`.

    Attributes:
        functions: names of functions and operators, in the order of the language's table.
        parameters: names of `PARAMETERS`.
        most_nodes: most nodes of a candidate's normal form.

    Example:
        >>> from attenergy.search.discovery.formulas import Grammar
        >>> grammar = Grammar.of(without=("lse",))
        >>> "lse" in grammar.functions, "exp" in grammar.functions
        (False, True)
    """

    functions: tuple[str, ...]
    parameters: tuple[str, ...] = tuple(PARAMETERS)
    most_nodes: int = 40

    @classmethod
    def of(
        cls,
        without: Collection[str] = (),
        *,
        parameters: Collection[str] = tuple(PARAMETERS),
        most_nodes: int = 40,
    ) -> Grammar:
        """The grammar of all functions that formulas may call now, but some.

        A function whose code or meaning is another formula that calls one of those is left out too.

        Args:
            without: names of functions that no candidate may call.
            parameters: names of `PARAMETERS` that candidates may have.
            most_nodes: most nodes of a candidate.

        Raises:
            ArgumentError: a name is unknown, or so few nodes hold no energy.
        """
        load_plugins()
        names = [*OPERATORS, *PUBLIC]
        for name in without:
            if name not in PUBLIC:
                hint = nearest(name, list(PUBLIC))
                raise ArgumentError(
                    f"there is no function '{name}' to leave out"
                    f"{f' ({hint})' if hint else ''}; functions: {', '.join(PUBLIC)}",
                    topic="unknown-name",
                )
        for name in parameters:
            if name not in PARAMETERS:
                raise ArgumentError(
                    f"candidates have no parameter '{name}'; parameters: {', '.join(PARAMETERS)}",
                    topic="unknown-name",
                )
        if most_nodes < 10:
            raise ArgumentError(f"an energy needs at least 10 nodes, got most_nodes={most_nodes}")
        functions = tuple(n for n in names if not calls_any(FUNCTIONS[n], frozenset(without)))
        return cls(functions, tuple(n for n in PARAMETERS if n in parameters), most_nodes)

    @cached_property
    def productions(self) -> tuple[Production, ...]:
        """Every call, with the most general arguments that it takes for the kind that it gives."""
        return tuple(p for name in self.functions for p in productions_of(FUNCTIONS[name]))

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """xi, X and the parameters."""
        return (XI, PATTERNS, *(SYMBOLS[name] for name in self.parameters))

    def giving(self, kind: Kind) -> tuple[Production, ...]:
        """The calls whose value may stand where a kind is asked for."""
        return tuple(p for p in self.productions if kind.allows(p.kind))

    def allows(self, candidate: Candidate) -> bool:
        """Whether a candidate is made of what is here, is not too large, and X acts on xi in it."""
        tree = candidate.normal_form
        names = tree.names | candidate.tree.names
        return (
            joins_patterns(tree)
            and tree.size <= self.most_nodes
            and len(candidate.formula) <= MOST_LETTERS
            and names <= {symbol.name for symbol in self.symbols}
            and called_in(candidate.tree) | called_in(tree) <= set(self.functions)
        )


def joins_patterns(tree: Expr) -> bool:
    """Whether a term of a simplified tree reads xi and X both: else X exerts no force on xi."""
    return any({"xi", "X"} <= term.names for term in split_terms(expand(tree)))


def called_in(tree: Expr) -> set[str]:
    """Names of the functions and operators that a tree calls."""
    if not isinstance(tree, Call):
        return set()
    return {tree.function}.union(*map(called_in, tree.args))


def function_uses(names: Iterable[str]) -> list[Use]:
    """Functions as what something saved refers to, for `needed`.

    Example:
        >>> from attenergy.registry import needed
        >>> needed(function_uses(["lse"]))  # no plug-in's
        []
    """
    return [(FUNCTIONS.kind, name) for name in names]


def calls_any(row: Function, names: frozenset[str]) -> bool:
    """Whether a function is one of these, or stands for a formula that calls one of them."""
    if row.name in names:
        return True
    if not names or (row.macro is None and row.expansion is None):
        return False
    for arguments, _ in _typed(row):
        made = row.macro or row.expansion
        assert made is not None
        inside = called_in(made(*arguments))
        if any(calls_any(FUNCTIONS[name], names) for name in inside):
            return True
    return False


def productions_of(row: Function) -> list[Production]:
    """The calls of one function, without those that a more general one covers."""
    every = [
        Production(row.name, tuple(map(kind_of, arguments)), kind)
        for arguments, kind in _typed(row)
    ]
    return [p for p in every if not any(_covers(other, p) for other in every)]


def _covers(general: Production, special: Production) -> bool:
    """Whether a call takes all that another takes, and gives the same."""
    if general == special or general.kind != special.kind:
        return False
    pairs = zip(general.arguments, special.arguments, strict=True)
    return all(mine.allows(other) for mine, other in pairs)


def _typed(row: Function) -> Iterator[tuple[tuple[Expr, ...], Kind]]:
    """Arguments that a function takes, one for each kind, and the kind of its value."""
    for kinds in product(KINDS, repeat=2 if row.arity is None else row.arity):
        arguments = tuple(map(_probe, kinds))
        try:
            value = call(row.name, *arguments)
        except FormulaError:
            continue
        kind = kind_of(value)
        if kind in KINDS:
            yield arguments, kind


def _probe(kind: Kind) -> Expr:
    """A symbol of a kind; one that is not the same for all states has the name of a state."""
    return Symbol(kind.axes, "p" if kind.fixed else "xi")
