"""Functions of a user's own, in the table that the toolkit's are in."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from attenergy.energies.language.nodes import MAX_NAME
from attenergy.energies.language.table import FUNCTIONS, SYMBOLS, Function, forget_results
from attenergy.energies.language.typing_rules import elementwise
from attenergy.registry import ArgumentError, ArgumentTypeError

_TEXTS = ("name", "doc", "latex")
_FLAGS = ("smooth", "public", "counts", "associative")
_FACTS = ("tame", "reads_mask", "positive")  # or a function of the arguments that says so
_CALLABLES = ("fold", "derivative", "macro", "pull_back", "torch", "expansion", "emit")
_MORE_CALLABLES = ("normal_form", "of_constant")
_PROBES = (0.3, 1.7)  # where a function of one number is tried; both lie in most domains


def register_function(function: Function) -> Function:
    """Add a function to the language of formulas; every formula may call it from then on.

    It is compiled, derived, printed and kept from what a mask hides as the toolkit's own, from its
    row alone (`Function` explains the fields), and the laws and the check against autograd look at
    energies that call it. A module that registers functions can be named as a plug-in, so that
    worker processes and saved layers know them.

        import torch
        from attenergy import Function, register_function
        from attenergy.energies.language import call, elementwise

        register_function(Function(
            "softsign", 1, elementwise, "z/(1 + |z|)",
            torch=torch.nn.functional.softsign,
            derivative=lambda z: (1 + call("abs", z)) ** -2,
            smooth=False, tame=True,
        ))

    Args:
        function: the row; of `macro`, `torch`, `expansion` and `emit` it has one. Without `fold`,
            an elementwise function is folded by its `torch`.

    Returns:
        The row as it stands in the table.

    Raises:
        ArgumentTypeError: a field is of a wrong type.
        ArgumentError: the name is taken or reserved, or fields do not fit each other.

    Example:
        >>> from attenergy.energies.language import call, elementwise
        >>> row = attenergy.register_function(
        ...     attenergy.Function(
        ...         "softsign", 1, elementwise, "z/(1 + |z|)",
        ...         torch=torch.nn.functional.softsign,
        ...         derivative=lambda z: (1 + call("abs", z)) ** -2,
        ...         smooth=False, tame=True,
        ...     )
        ... )
        >>> layer = attenergy.EnergyAttention(8, 2, "0.5*|xi|^2 - sum_n(softsign(X @ xi))")
        >>> layer(torch.randn(1, 4, 8)).shape
        torch.Size([1, 4, 8])
    """
    if not isinstance(function, Function):
        raise ArgumentTypeError(
            f"a formula function must be a Function, got {function!r:.120}", topic="register"
        )
    _check_types(function)
    _check_name(function.name)
    _check_fields(function)
    if function.typing is elementwise and function.torch is not None:
        if function.fold is None:
            function = replace(function, fold=lambda *values: _value(function, values))
        elif function.arity == 1:
            _check_fold(function)
    FUNCTIONS.register(function)
    forget_results()
    return function


def _check_types(row: Function) -> None:
    allowed: dict[str, tuple[str, Any]] = {
        **{f: ("a text", lambda v: isinstance(v, str)) for f in _TEXTS},
        **{f: ("true or false", lambda v: isinstance(v, bool)) for f in _FLAGS},
        **{f: ("true, false or a function", lambda v: isinstance(v, bool) or callable(v))
           for f in _FACTS},
        **{f: ("a function", lambda v: v is None or callable(v))
           for f in (*_CALLABLES, *_MORE_CALLABLES)},
        "typing": ("a function", callable),
        "gradient": ("the name of a function or a function",
                     lambda v: isinstance(v, str) or callable(v)),
        "arity": ("a whole number from 0, or None",
                  lambda v: v is None or (type(v) is int and v >= 0)),
        "hidden": ("a number",
                   lambda v: v is None or (isinstance(v, (int, float)) and not math.isnan(v))),
    }  # fmt: skip
    for field, (expected, right) in allowed.items():
        value = getattr(row, field)
        if not right(value):
            raise ArgumentTypeError(
                f"'{field}' of a function must be {expected}, got {value!r:.60}", topic="register"
            )


def _check_name(name: str) -> None:
    if name in SYMBOLS or name in ("D", "N"):
        raise ArgumentError(
            f"a function cannot be called '{name}': that is a symbol of formulas", topic="register"
        )
    if len(name) > MAX_NAME:
        raise ArgumentError(
            f"the name of a function has at most {MAX_NAME} letters, got '{name}'", topic="register"
        )


def _check_fields(row: Function) -> None:
    ways = [
        field
        for field in ("macro", "torch", "expansion", "emit")
        if getattr(row, field) is not None
    ]
    if len(ways) != 1:
        got = " and ".join(ways) or "none"
        raise ArgumentError(
            f"'{row.name}' needs one of macro, torch, expansion and emit, got {got}",
            topic="register",
        )
    if not row.doc.strip() or "\n" in row.doc:
        raise ArgumentError(
            f"'doc' of '{row.name}' must say in one line what it is", topic="register"
        )
    named = getattr(row.torch, "__name__", "")
    if row.torch is not None and not named.isidentifier():
        raise ArgumentError(
            f"'torch' of '{row.name}' must have a name that can stand in code: use def, not lambda",
            topic="register",
        )
    if row.hidden is not None and row.torch is None:
        raise ArgumentError(
            f"'hidden' of '{row.name}' is for a function with 'torch'", topic="register"
        )
    if row.derivative is not None and not (row.typing is elementwise and row.arity == 1):
        raise ArgumentError(
            f"'derivative' of '{row.name}' is for an elementwise function of one argument; a "
            "reduction has a 'gradient', any other a 'pull_back'",
            topic="register",
        )
    if isinstance(row.gradient, str) and row.gradient and row.gradient not in FUNCTIONS:
        raise ArgumentError(
            f"'gradient' of '{row.name}' names no function: '{row.gradient}'", topic="register"
        )


def _value(row: Function, values: tuple[float, ...]) -> float:
    assert row.torch is not None
    return float(row.torch(*(torch.tensor(v, dtype=torch.float64) for v in values)))


def _check_fold(row: Function) -> None:
    """Its value as a Python function is that of its torch function."""
    assert row.fold is not None
    for probe in _PROBES:
        try:
            folded = row.fold(probe)
        except (ValueError, OverflowError, ZeroDivisionError):
            continue  # outside of its domain
        value = _value(row, (probe,))
        if not math.isclose(folded, value, rel_tol=1e-6, abs_tol=1e-9):
            raise ArgumentError(
                f"'fold' and 'torch' of '{row.name}' differ at {probe:g}: {folded:g} and {value:g}",
                topic="register",
            )
