"""The Markdown of a page, read line by line: what is code, what is a link, what is a comment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_FENCE = re.compile(r"^\s*(?:>\s*)*(`{3,}|~{3,})")
# alone on its lines, which go with it, or within a line
_COMMENT = re.compile(r"^[ \t]*<!--.*?-->[ \t]*(?:\n|\Z)|<!--.*?-->", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"(`+)(?:(?!\1).)+\1")
# [words](target "title"), ![words](target), and the src or href of an HTML tag
_LINK = re.compile(
    r"""(?P<before>\]\(\s*<?|\b(?:src|href)=")(?P<target>[^()\s<>"]+(?:\([^()\s]*\)[^()\s<>"]*)*)"""
)


def parts(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces, in order: (True, a fenced block) and (False, what is between)."""
    piece: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        match = _FENCE.match(line)
        if fence:
            piece.append(line)
            if match and match[1].startswith(fence) and not line.strip("`~> \t\n"):
                yield True, "".join(piece)
                piece, fence = [], ""
        elif match:
            if piece:
                yield False, "".join(piece)
            piece, fence = [line], match[1]
        else:
            piece.append(line)
    if piece:
        yield bool(fence), "".join(piece)


def prose(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` made to all that is no fenced block."""
    return "".join(piece if code else change(piece) for code, piece in parts(text))


def without_comments(text: str) -> str:
    """The text without its HTML comments; those in code stay."""
    return prose(text, lambda piece: _COMMENT.sub("", piece))


def relink(text: str, change: Callable[[str], str]) -> str:
    """The text with `change` made to the target of every link and picture outside of code."""

    def links(piece: str) -> str:
        return _LINK.sub(lambda m: m["before"] + change(m["target"]), piece)

    def outside_code(piece: str) -> str:
        pieces, last = [], 0
        for match in _CODE.finditer(piece):
            # `[`name`](target)`: the code is only the words of the link, so it is skipped alone
            pieces += [links(piece[last : match.start()]), match[0]]
            last = match.end()
        return "".join(pieces) + links(piece[last:])

    return prose(text, outside_code)


def link_targets(text: str) -> list[str]:
    """The targets of all links and pictures, in order."""
    targets: list[str] = []

    def note(target: str) -> str:
        targets.append(target)
        return target

    relink(without_comments(text), note)
    return targets
