"""Texts of unknown origin, made fit for a terminal or a page."""

from __future__ import annotations

import re

# C0 and C1 control characters, what changes the direction of writing or is not seen at all, line
# separators, halves of surrogate pairs, and characters that are none.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\ufffe\uffff\U000e0000-\U000e007f]"
)


def printable(text: str, *, lines: bool = True) -> str:
    r"""A text in which every character can be seen: `\x1b`, `\u202e` stand for those that cannot.

    Args:
        text: any text.
        lines: leave line breaks and tabs as they are; else they become spaces.
    """
    shown = _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text)
    return shown if lines else " ".join(shown.split())
