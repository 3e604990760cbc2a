"""Texts of unknown origin, made fit for a terminal or a page."""

from __future__ import annotations

import re
from html import escape

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


def markdown(text: str, *, code: bool = False) -> str:
    """A text as one line of Markdown that shows it: no tag, link, cell or code comes from it.

    Args:
        text: any text.
        code: leave backticks as they are, in a text with `names` of ours.
    """
    shown = printable(text, lines=False).replace("\\", "\\\\")
    shown = re.sub(r"&(?=#|\w+;)", "&amp;", shown).replace("<", "&lt;").replace("|", "\\|")
    shown = re.sub(r"\](?=[(\[:])", "]\\\\", shown)
    return shown if code else shown.replace("`", "\\`")


def markdown_code(text: str) -> str:
    """A text as code within a line of Markdown."""
    shown = printable(text, lines=False)
    if not shown or set(shown) & set("`<&"):
        return f"<code>{escape(shown, quote=False)}</code>".replace("|", "&#124;")
    return f"`{shown}`"


def markdown_json(text: str) -> str:
    """A JSON text as a block of code: equal data, in which nothing looks like a tag or a fence."""
    safe = text.replace("<", "\\u003c").replace("`", "\\u0060")
    return f"```json\n{safe}\n```"
