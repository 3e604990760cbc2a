"""Text to typed tree.

The text is data: it is matched against a small grammar and nothing in it is ever evaluated. Its
length, depth and names are limited, so a hostile formula costs no more than a friendly one.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

from attenergy.energies.language.errors import FormulaError
from attenergy.energies.language.nodes import MAX_LEVELS, MAX_NAME, Call, Expr, Number, call
from attenergy.energies.language.table import FUNCTIONS, PUBLIC
from attenergy.registry import load_plugins
from attenergy.registry.plugins import failures

MAX_LENGTH = 500
MAX_DEPTH = 32

#: A choice in a formula: called with one argument, it becomes a tree.
Macro = Callable[[Expr], Expr]


def parse(
    text: str, symbols: Mapping[str, Expr], macros: Mapping[str, Macro] | None = None
) -> Expr:
    """Read a formula.

    Args:
        text: the formula, at most 500 characters.
        symbols: what each name stands for.
        macros: functions of one argument besides the built-in ones (an entry's choices).

    Raises:
        FormulaError: with the position of the offending character.

    Example:
        >>> print(parse("0.5*|xi|^2 - lse(X @ xi)", {"X": PATTERNS, "xi": XI}))
        0.5*|xi|^2 - lse(X @ xi)
    """
    _check_size(text)
    try:
        tree = _grammar().parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(error, text) from None
    try:
        return _Reader(symbols, macros or {}).read(tree)
    except FormulaError as error:
        if error.path:  # it is about another text, an option that this formula calls
            raise
        raise FormulaError(error.message, text, error.offset or 0, topic=error.topic) from None


@cache
def _grammar() -> Lark:
    source = resources.files(__package__).joinpath("formula.lark").read_text("utf-8")
    return Lark(source, parser="lalr", lexer="contextual", propagate_positions=True)


def _check_size(text: str) -> None:
    if not text.strip():
        raise FormulaError("the formula is empty", text, 0, topic="formula-syntax")
    if len(text) > MAX_LENGTH:
        raise FormulaError(
            f"the formula has {len(text)} characters, at most {MAX_LENGTH} are allowed",
            text,
            MAX_LENGTH,
            topic="formula-syntax",
        )
    depth = 0
    for offset, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth > MAX_DEPTH:
            raise FormulaError(
                f"parentheses are nested deeper than {MAX_DEPTH}",
                text,
                offset,
                topic="formula-syntax",
            )
    for run in re.finditer(rf"(?:[-+|]\s*){{{MAX_DEPTH},}}", text):
        raise FormulaError(
            f"more than {MAX_DEPTH} signs or bars in a row",
            text,
            run.start(),
            topic="formula-syntax",
        )
    for name in re.finditer(r"[A-Za-z_][A-Za-z0-9_]*", text):
        if len(name.group()) > MAX_NAME:
            raise FormulaError(
                f"a name is longer than {MAX_NAME} characters",
                text,
                name.start(),
                topic="formula-syntax",
            )


def _of_symbol(character: str) -> str:
    """What to write in the place of a Greek letter or a sign of mathematics; empty for others."""
    if character in _SIGNS:
        return f"write {_SIGNS[character]}"
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(character, ""))
    if greek is None:
        return ""
    return f"write {greek[2].lower() if greek[1] == 'SMALL' else greek[2].capitalize()}"


def _syntax_error(error: UnexpectedInput, text: str) -> FormulaError:
    if isinstance(error, UnexpectedCharacters):
        offset = int(error.pos_in_stream or 0)
        character = text[offset]
        hints = {
            "_": "names begin with a letter",
            ".": "there are no attributes",
            "[": "there is no indexing",
            "'": "a transpose follows a name or a parenthesis",
            "=": "there are no assignments",
        }
        hint = hints.get(character, "") or _of_symbol(character)
        return FormulaError(
            f"unexpected character {character!r}" + (f": {hint}" if hint else ""),
            text,
            offset,
            topic="formula-syntax",
        )
    if isinstance(error, UnexpectedEOF) or (
        isinstance(error, UnexpectedToken) and error.token.type == "$END"
    ):
        return FormulaError(
            f"the formula ends too soon; expected {_expected(error)}",
            text,
            len(text),
            topic="formula-syntax",
        )
    assert isinstance(error, UnexpectedToken)
    offset = error.token.start_pos or 0
    if text[max(0, offset - 1) : offset + 1] == "**":
        return FormulaError(
            "a power is written with ^, not **", text, offset - 1, topic="formula-syntax"
        )
    return FormulaError(
        f"unexpected '{error.token}'; expected {_expected(error)}",
        text,
        offset,
        topic="formula-syntax",
    )


_TOKEN_NAMES = {
    "NUMBER": "a number", "NAME": "a name", "LPAR": "'('", "RPAR": "')'", "VBAR": "'|'",
    "PLUS": "'+'",
    "MINUS": "'-'", "STAR": "'*'", "SLASH": "'/'", "AT": "'@'", "CIRCUMFLEX": "'^'", "COMMA": "','",
    "QUOTE": "\"'\"", "$END": "the end",
}  # fmt: skip


def _expected(error: Any) -> str:
    wanted = set(getattr(error, "accepts", None) or getattr(error, "expected", None) or ())
    if {"NUMBER", "NAME", "LPAR"} <= wanted:
        return "a number, a name or '('"
    return " or ".join(sorted(_TOKEN_NAMES.get(w, w) for w in wanted)) or "nothing more"


#: What functions are called elsewhere, and here.
_CALLED_OTHERWISE = {
    "logsumexp": "lse(...)", "cosh": "exp(logcosh(...))", "ln": "log(...)", "norm": "|...|",
    "sum": "sum_n(...) over patterns or sum_d(...) over components", "sech": "exp(-logcosh(...))",
    "square": "(...)^2", "dot": "x @ y", "power": "x^n",
}  # fmt: skip
_SIGNS = {
    "\u00b7": "*", "\u00d7": "*", "\u2212": "-", "\u22a4": "'", "\u221a": "sqrt(...)",
    "\u2211": "sum_n(...)", "\u00b2": "^2",
}  # fmt: skip
_MEANT = {
    "D": "; the head width is written count_d()",
    "N": "; the number of visible patterns is written count_n()",
    "T": "; a transpose is written with a prime: X'",
}
_CHAINED = frozenset({"add", "sub", "mul", "div", "matmul"})


class _Reader:
    """Turns lark's tree into typed nodes."""

    def __init__(self, symbols: Mapping[str, Expr], macros: Mapping[str, Macro]) -> None:
        self.symbols = symbols
        self.macros = macros

    def read(self, tree: Tree[Token] | Token, depth: int = 0) -> Expr:
        assert isinstance(tree, Tree)
        rule = str(tree.data)
        first = tree.children[0]
        offset = first.start_pos if isinstance(first, Token) else tree.meta.start_pos
        if depth > MAX_LEVELS:
            raise FormulaError(
                f"the formula is nested deeper than {MAX_LEVELS}",
                offset=offset,
                topic="formula-syntax",
            )
        if rule == "number":
            return Number(_finite(str(first), offset), offset=offset)
        if rule == "name":
            return self._symbol(str(first), offset)
        if rule == "call":
            args = [self.read(c, depth + 1) for c in tree.children[1:] if c is not None]
            return self._call(str(first), args, offset)
        if rule in _CHAINED:
            return self._chain(tree, depth, offset)
        if rule == "pow" and isinstance(first, Tree) and str(first.data) == "length":
            return self._power_of_length(tree, depth)
        args = [self.read(c, depth + 1) for c in tree.children if c is not None]
        if rule == "start":
            return args[0]
        return self._operator(rule, args, offset)

    def _chain(self, tree: Tree[Token], depth: int, offset: int | None) -> Expr:
        """`a + b - c ...`, which the grammar nests to the left, read without nesting."""
        links: list[tuple[str, Tree[Token] | Token]] = []
        left: Tree[Token] | Token = tree
        while isinstance(left, Tree) and str(left.data) in _CHAINED:
            rule = str(left.data)
            left, right = left.children
            links.append((rule, right))
        value = self.read(left, depth + 1)
        for rule, right in reversed(links):
            value = self._operator(rule, [value, self.read(right, depth + 1)], offset)
        return value

    def _operator(self, rule: str, args: list[Expr], offset: int | None) -> Expr:
        if rule == "neg":
            return call("mul", Number(-1.0), args[0], offset=offset)
        if rule == "sub":
            return call("add", args[0], call("mul", Number(-1.0), args[1]), offset=args[1].offset)
        if rule == "div":
            if isinstance(args[1], Number) and args[1].value == 0:
                raise FormulaError(
                    "division by zero", offset=args[1].offset, topic="formula-number"
                )
            inverse = call("pow", args[1], Number(-1.0), offset=args[1].offset)
            return call("mul", args[0], inverse, offset=args[1].offset)
        if rule == "length" and isinstance(args[0], Call) and args[0].function == "norm":
            return args[0]  # ||v|| is |v|
        if rule == "length":
            return call("norm" if args[0].axes else "abs", args[0], offset=offset)
        return call(rule, *args, offset=args[-1].offset)

    def _power_of_length(self, tree: Tree[Token], depth: int) -> Expr:
        """`|v|^2` is the squared length itself: the square of a root has no curvature at 0."""
        length, exponent = (c for c in tree.children if isinstance(c, Tree))
        content = length.children[0]
        while isinstance(content, Tree) and str(content.data) == "length":  # ||v||^2 is |v|^2
            content = content.children[0]
        inner = self.read(content, depth + 1)
        power = self.read(exponent, depth + 1)
        if inner.axes and isinstance(power, Number) and power.value == 2:
            return call("sumsq", inner, offset=inner.offset)
        base = self._operator("length", [inner], inner.offset)
        return call("pow", base, power, offset=power.offset)

    def _symbol(self, name: str, offset: int | None) -> Expr:
        if name in self.symbols:
            return _placed(self.symbols[name], offset)
        if name in self.macros or name in PUBLIC:
            raise FormulaError(
                f"'{name}' is a function; write {name}(...)", offset=offset, topic="formula-name"
            )
        near = difflib.get_close_matches(name, self.symbols, 1)
        near += [known for known in self.symbols if known.lower() == name.lower()]
        hint = f"; did you mean '{near[0]}'?" if near else _MEANT.get(name, "")
        known = ", ".join(self.symbols)
        raise FormulaError(
            f"unknown name '{name}'{hint} (known: {known})", offset=offset, topic="formula-name"
        )

    def _call(self, name: str, args: list[Expr], offset: int | None) -> Expr:
        if name in self.macros:
            if len(args) != 1:
                raise FormulaError(
                    f"{name} takes 1 argument, got {len(args)}", offset=offset, topic="formula-type"
                )
            return self.macros[name](args[0])
        if name in self.symbols:
            raise FormulaError(
                f"'{name}' is not a function; a product is written with *",
                offset=offset,
                topic="formula-name",
            )
        if name not in FUNCTIONS:
            load_plugins()
        if name not in PUBLIC:
            known = [*self.macros, *PUBLIC]
            near = difflib.get_close_matches(name, known, 1)
            if name in _CALLED_OTHERWISE:
                hint = f"; write {_CALLED_OTHERWISE[name]}"
            elif near:
                hint = f"; did you mean '{near[0]}'?"
            else:  # those that operators stand for are not called
                hint = "" if name in FUNCTIONS else f"; known: {', '.join(known)}"
            reasons = "".join(f"; {text}" for text in failures())
            raise FormulaError(
                f"unknown function '{name}'{hint}{reasons}", offset=offset, topic="formula-name"
            )
        return call(name, *args, offset=offset)


def _placed(symbol: Expr, offset: int | None) -> Expr:
    return symbol if isinstance(symbol, Number) else replace(symbol, offset=offset)


def _finite(text: str, offset: int | None) -> float:
    value = float(text)
    if value in (float("inf"),):
        raise FormulaError(
            f"the number {text[:24]} is too large", offset=offset, topic="formula-number"
        )
    return value
