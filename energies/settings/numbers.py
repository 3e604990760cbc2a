"""Numbers as they may be given: Python's, numpy's, and those that are too large."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from attenergy.registry.errors import clipped


def as_float(number: Any) -> float:
    """A number as one of Python's with a point; infinite where that cannot hold it."""
    try:
        return float(number)
    except OverflowError:
        return -math.inf if number < 0 else math.inf


def plain(value: Any) -> Any:
    """A number, a text or a truth value of numpy's as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value


def shown(value: Any) -> str:
    """A value for a message, which a number of many digits does not fill."""
    try:
        return clipped(repr(value))
    except ValueError:  # Python writes no number of thousands of digits
        return "a number of thousands of digits"
