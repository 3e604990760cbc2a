"""The table of what a formula may call: one row says everything about one function.

`functions` fills it; `register_function` adds rows from outside.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from attenergy.energies.language.errors import FormulaError
from attenergy.energies.rows.kernel import RowKernel
from attenergy.registry import Catalogue, load_plugins

Axes = tuple[str, ...]
Result = TypeVar("Result")
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
        expansion: the tree whose code it has, for its arguments. In place of `torch`; unlike a
            macro, it keeps its name, and may have a gradient and a normal form of its own.
        emit: writes its code (`emit.Emitter`) for the trees of its arguments, in place of `torch`.
            If it reads them by `guarded`, `tame` is a function that says for which it does not.
        counts: whether its code asks how many patterns or components there are.
        reads_mask: whether the value depends on which patterns are visible.
        positive: whether the value is certainly above 0 everywhere.
        normal_form: the simplified call, for simplified arguments.
        of_constant: its value for a vector of equal entries, from the entry and their number.
        rows: of weights that depend on one row of scores: their kernel, for reading in blocks.
        associative: whether nested calls are one call of more arguments.

    Example:
        >>> row = attenergy.energies.language.FUNCTIONS["lse"]
        >>> row.name, row.doc
        ('lse', 'log sum exp over the visible patterns')
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
    expansion: Callable[..., Tree] | None = None
    emit: Callable[..., Any] | None = None
    counts: bool = False
    reads_mask: bool | Test = False
    positive: bool | Test = False
    normal_form: Callable[[tuple[Tree, ...]], Tree] | None = None
    of_constant: Callable[[Tree, Tree], Tree] | None = None
    rows: RowKernel | None = None
    associative: bool = False

    def over_patterns(self, args: tuple[Tree, ...]) -> bool:
        """Whether the value depends on which patterns are visible."""
        if self.expansion is not None and self.expansion(*args).per_state:
            return True
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


class _Public(Collection[str]):
    """The names that a formula may call, in the order of the table."""

    def __iter__(self) -> Iterator[str]:
        return (name for name, row in FUNCTIONS.items() if row.public)

    def __contains__(self, name: object) -> bool:
        return name in FUNCTIONS and FUNCTIONS[str(name)].public

    def __len__(self) -> int:
        return sum(1 for _ in self)


#: Everything that a tree may call, and the names of what a formula may call.
FUNCTIONS: Catalogue[Function] = Catalogue("formula function", Function, {}, instances=True)
PUBLIC: Collection[str] = _Public()
#: Symbols that every formula has, and those that the compiler uses.
SYMBOLS = ("xi", "X", "h", "s", "q", "mask")

_CLEAR: list[Callable[[], None]] = []


def remembered(size: int) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """A decorator: results for trees are kept, until a function of theirs is defined anew.

    Example:
        >>> @remembered(8)
        ... def size(tree):
        ...     return len(str(tree))
        >>> size(parse("|xi|^2", {"xi": XI}))
        6
    """

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        cached = lru_cache(maxsize=size)(function)
        _CLEAR.append(cached.cache_clear)
        return cached

    return decorate


def forget_results() -> None:
    """Drop what `remembered` functions keep."""
    for clear in _CLEAR:
        clear()


def lookup(name: str, offset: int | None = None) -> Function:
    """The row of a function; plug-ins are loaded for one that is not there yet.

    Raises:
        FormulaError: no such function; names the nearest.
    """
    if name not in FUNCTIONS:
        load_plugins()
    if name not in FUNCTIONS:
        near = difflib.get_close_matches(name, PUBLIC, 1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(PUBLIC)}"
        raise FormulaError(f"unknown function '{name}'{hint}", offset=offset, topic="formula-name")
    return FUNCTIONS[name]
