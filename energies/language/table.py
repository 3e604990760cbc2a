"""The table of what a formula may call: one row says everything about one function.

`operators` and `functions` fill it; `register_function` adds rows from outside.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from attenergy.energies.language.errors import FormulaError

Axes = tuple[str, ...]
#: A node of a tree (`nodes.Expr`): nodes are built on this table, so it cannot name their type.
Tree = Any
#: Which axes a function gives for its name, its arguments and their position in the text.
Typing = Callable[[str, tuple[Tree, ...], "int | None"], Axes]
#: A fact about a call that its arguments decide.
Test = Callable[[tuple[Tree, ...]], bool]


@dataclass(frozen=True)
class Function:
    """One function or operator: everything that is known of it.

    Attributes:
        name: how a formula calls it.
        arity: number of arguments; None for two or more.
        typing: which axes it takes and gives (`typing_rules`).
        doc: what it is, in one line.
        fold: its value at numbers, as a Python function.
        derivative: of an elementwise function: the tree of f'(z) for the tree of z.
        smooth: whether it has derivatives of all orders.
        public: whether a formula may call it by name.
        latex: how LaTeX writes it; as its name if empty.
        macro: the tree that it stands for, for its arguments; then nothing below is needed.
        gradient: of a scalar function of a vector: the name of the function that is its gradient
            in its first argument, or the gradient's tree for the trees of the arguments.
        pull_back: what an adjoint of the whole is at one argument, for other derivatives; None
            where it has none that is written.
        torch: its value for the values of its arguments.
        tame: of an elementwise function: whether neither its value nor a derivative of any order
            leaves the numbers at a finite argument. Others are kept away from what a mask hides.
        hidden: of a function over patterns with `torch`: what stands at hidden ones of its first
            argument, (..., L, N), before it is called.
        emit: writes its code (`emit.Emitter`) for the trees of its arguments, in place of `torch`.
        counts: whether its code asks how many patterns or components there are.
        reads_mask: whether the value depends on which patterns are visible.
        positive: whether the value is certainly above 0 everywhere.
        normal_form: the simplified call, for simplified arguments.
        of_constant: its value for a vector of equal entries, from the entry and their number.
        associative: whether nested calls are one call of more arguments.
    """

    name: str
    arity: int | None
    typing: Typing
    doc: str
    fold: Callable[..., float] | None = None
    derivative: Callable[[Tree], Tree] | None = None
    smooth: bool = True
    public: bool = True
    latex: str = ""
    macro: Callable[..., Tree] | None = None
    gradient: str | Callable[..., Tree] = ""
    pull_back: Callable[[Tree, int, Tree], Tree | None] | None = None
    torch: Callable[..., Any] | None = None
    tame: bool | Test = False
    hidden: float | None = None
    emit: Callable[..., Any] | None = None
    counts: bool = False
    reads_mask: bool | Test = False
    positive: bool | Test = False
    normal_form: Callable[[tuple[Tree, ...]], Tree] | None = None
    of_constant: Callable[[Tree, Tree], Tree] | None = None
    associative: bool = False

    def over_patterns(self, args: tuple[Tree, ...]) -> bool:
        """Whether the value depends on which patterns are visible."""
        return self.hidden is not None or _holds(self.reads_mask, args)

    def is_positive(self, args: tuple[Tree, ...]) -> bool:
        """Whether the value is certainly above 0 everywhere."""
        return _holds(self.positive, args)

    def guards(self, args: tuple[Tree, ...]) -> bool:
        """Whether its arguments are kept away from what a mask hides."""
        own = callable(self.tame) or (self.torch is not None and self.hidden is None)
        return own and not _holds(self.tame, args)


def _holds(fact: bool | Test, args: tuple[Tree, ...]) -> bool:
    return fact(args) if callable(fact) else fact


#: Everything that a tree may call, and the names of what a formula may call, in the same order.
FUNCTIONS: dict[str, Function] = {}
PUBLIC: list[str] = []


def add_functions(*rows: Function) -> None:
    """Put rows into the table."""
    for row in rows:
        FUNCTIONS[row.name] = row
        if row.public:
            PUBLIC.append(row.name)


def lookup(name: str, offset: int | None = None) -> Function:
    """The row of a function.

    Raises:
        FormulaError: no such function; names the nearest.
    """
    if name not in FUNCTIONS:
        near = difflib.get_close_matches(name, PUBLIC, 1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(PUBLIC)}"
        raise FormulaError(f"unknown function '{name}'{hint}", offset=offset)
    return FUNCTIONS[name]
