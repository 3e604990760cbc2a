"""Arguments of layers, solvers and models: checks that name them, and options that may change."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, TypeVar, cast

from torch import Tensor, nn

from attenergy.energies.masks import check_numbers, check_tensor
from attenergy.energies.settings.numbers import as_float, plain, shown
from attenergy.registry import ArgumentError, ArgumentTypeError

__all__ = [
    "check_finite",
    "check_flag",
    "check_from_zero",
    "check_numbers",
    "check_positive",
    "check_share",
    "check_size",
    "check_tensor",
    "check_whole",
    "fixed",
    "is_number",
    "is_whole",
    "option",
    "weight_of",
]

Value = TypeVar("Value")


def check_whole(name: str, value: Any, least: int) -> int:
    """Return a whole number.

    Raises:
        ValueError: it is none, or below `least`.
    """
    if isinstance(value, bool) or not is_whole(value) or value < least:
        raise ArgumentError(f"{name} must be a whole number from {least}, got {value!r}")
    return int(value)


def check_size(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number that says how many there are of something.

    Raises:
        ValueError: it is none, or below `least`.
    """
    if is_whole(value) and value < least:
        raise ArgumentError(f"{name} must be at least {least}, got {value}")
    return check_whole(name, value, least)


def check_positive(name: str, value: Any) -> float:
    """Return a number.

    Raises:
        ValueError: it is none, not above 0, or not finite.
    """
    number = check_finite(name, value)
    if number <= 0:
        raise ArgumentError(f"{name} must be above 0, got {value!r}")
    return number


def check_from_zero(name: str, value: Any) -> float:
    """Return a number.

    Raises:
        ValueError: it is none, below 0, or not finite.
    """
    number = check_finite(name, value)
    if number < 0:
        raise ArgumentError(f"{name} must be a number from 0, got {value!r}")
    return number


def check_finite(name: str, value: Any) -> float:
    """Return a number.

    Raises:
        ValueError: it is none, or not finite.
    """
    if not is_number(value):
        raise ArgumentError(f"{name} must be a number, got {value!r}")
    number = as_float(value)
    if not math.isfinite(number):
        raise ArgumentError(f"{name} must be a finite number, got {shown(value)}")
    return number


def check_share(name: str, value: Any) -> float:
    """Return a number from 0, below 1.

    Raises:
        ValueError: it is none.
    """
    if not is_number(value) or not 0 <= value < 1:
        raise ArgumentError(f"{name} must be at least 0 and below 1, got {shown(value)}")
    return float(value)


def check_flag(name: str, value: Any) -> bool:
    """Return True or False.

    Raises:
        ValueError: it is neither, nor 1 or 0.
    """
    value = plain(value)
    if not isinstance(value, int) or value not in (0, 1):
        raise ArgumentError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_module(name: str, value: Any) -> None:
    """Check that something is a module.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, nn.Module):
        raise ArgumentTypeError(f"{name} must be a torch module, got {type(value).__name__}")


def weight_of(reader: Any) -> Tensor | None:
    """The weight of a plain linear map, for `check_numbers`; None of a map of another kind."""
    plain = type(reader) in (nn.Linear, nn.modules.linear.NonDynamicallyQuantizableLinear)
    return reader.weight if plain else None


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, Python's or numpy's."""
    return isinstance(value, Integral)


def is_number(value: Any) -> bool:
    """Whether it is a number, and no truth value or text."""
    return isinstance(value, Real) and not isinstance(value, bool)


def option(name: str, check: Callable[[Any, Any], Value], doc: str) -> Value:
    """An attribute that is checked when it is set, and saved with the module as it was set last.

    A module that is saved has a method `changed` for that
    (`attenergy.attention.saving.pretrained.Pretrained`).

    Args:
        name: of the attribute, also that of the constructor's argument.
        check: called with the module and the value; returns what is stored, or raises.
        doc: what it is.
    """
    key = f"_{name}"

    def get(module: Any) -> Any:
        return getattr(module, key)

    def put(module: Any, value: Any) -> None:
        first, before = key not in module.__dict__, module.__dict__.get(key)
        module.__dict__[key] = now = check(module, value)
        if first or now == before or not hasattr(module, "changed"):
            return
        try:
            module.changed(name)
        except Exception:  # it does not go with something else
            module.__dict__[key] = before
            raise

    return cast(Value, property(get, put, doc=doc))  # what an instance has


def fixed(name: str) -> Callable[[Any, Any], Any]:
    """A check for `option` that takes the first value alone: what is made for it cannot follow.

    Raises:
        ValueError: another value is set later.
    """

    def check(module: Any, value: Any) -> Any:
        before = module.__dict__.get(f"_{name}", value)
        if before != value:
            raise ArgumentError(
                f"{name} is fixed when the {type(module).__name__} is made ({before!r}), got "
                f"{value!r}; make a new one"
            )
        return value

    return check
