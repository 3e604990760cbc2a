"""How a run that goes wrong is told in one line."""

from __future__ import annotations

import traceback
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


class Diverged(ArithmeticError):
    """A number that must be finite was not."""


class Pruned(Exception):
    """A run was given up on request; the message says why."""


def in_one_line(error: BaseException) -> str:
    """Type and message of an error, and the last line of this project that it passed through."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:500]}{_place(error)}"


def _place(error: BaseException) -> str:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if path.is_relative_to(_ROOT):
            inside = path.relative_to(_ROOT)
            if "site-packages" not in inside.parts:
                return f" ({inside.as_posix()}:{frame.lineno})"
    return ""
