"""How a run that goes wrong is told in one line."""

from __future__ import annotations

import traceback
import unicodedata
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_LONGEST = 500  # characters of a message
_LONGEST_REASON = 4000  # of all that a record says


class Diverged(ArithmeticError):
    """A number that must be finite was not."""


class Pruned(Exception):
    """A run was given up on request; the message says why."""


class Outside(BaseException):
    """Carries an error through a run that is not the run's own, but of whoever listens to it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(error)


def in_one_line(error: BaseException) -> str:
    """Type and message of an error, and the last line of this project that it passed through."""
    try:
        text = str(error)
    except Exception:  # an error whose message is an error
        text = "(its message cannot be read)"
    return f"{clean(type(error).__name__)}: {clean(text)[:_LONGEST]}{_place(error)}"


def clean(text: str, longest: int = _LONGEST_REASON) -> str:
    """A text of any bytes as one line that can be written, stored and shown anywhere.

    White space becomes single blanks; control characters, half characters of a broken encoding
    and what would turn the direction of writing are shown as escapes; the rest is cut off.
    """
    short = " ".join(text[: 2 * longest].split())
    shown = "".join(c if _plain(c) else c.encode("unicode_escape").decode() for c in short)
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def recordable(text: str) -> str:
    """A text without the half characters that cannot be written as UTF-8, and not too long."""
    return text[:_LONGEST_REASON].encode("utf-8", "backslashreplace").decode()


def _plain(character: str) -> bool:
    hidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return " " <= character <= "~" or unicodedata.category(character) not in hidden


def _place(error: BaseException) -> str:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if path.is_relative_to(_ROOT):
            inside = path.relative_to(_ROOT)
            if "site-packages" not in inside.parts:
                return f" ({inside.as_posix()}:{frame.lineno})"
    return ""
