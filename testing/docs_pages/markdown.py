"""What the pages share: tables, plain text, docstrings and references in Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

from attenergy.testing.markdown_table import table

__all__ = ["bullets", "display", "fence", "linked", "paragraphs", "plain", "prose", "table"]

#: A stretch of code, which Markdown leaves as it is.
_CODE = re.compile(r"(`[^`]*`)")
#: What makes Markdown see a list where a paragraph begins with it.
_LIST = re.compile(r"^([-+*] |\d+\. |#)")
_SOURCES = re.compile(r"arXiv:(\d{4}\.\d{4,5})|doi:(10\.\S+?)(?=[;,)]?(?:\s|$))")
_HIDDEN_SECTIONS = (
    *("Args:", "Raises:", "Source:", "Shapes:", "Example:", "Examples:", "Returns:"),
    *("Attributes:", ">>> "),
)


def plain(text: str) -> str:
    """Text in which Markdown sees nothing but stretches of code between backticks."""
    parts = _CODE.split(" ".join(text.split()))
    shown = "".join(part if part[:1] == "`" else _escaped(part) for part in parts)
    return _LIST.sub(r"\\\1", shown)


def _escaped(text: str) -> str:
    return re.sub(r"([\\*]|(?<!\w)_|_(?!\w))", r"\\\1", text).replace("<", "&lt;")


def fence(text: str, language: str = "text", before: str = "") -> str:
    """A block of code; `before` is a comment for whoever runs it."""
    head = f"<!-- {before} -->\n" if before else ""
    return f"{head}```{language}\n{text.strip(chr(10))}\n```\n"


def display(latex: str) -> str:
    """A formula in a line of its own, with spaces by name: GitHub would drop their backslashes."""
    spaced = re.sub(r"\\[,;]\s*", r"\\thinspace ", latex)
    return f"$$\n{spaced}\n$$\n"


def bullets(lines: Iterable[str]) -> str:
    """A list."""
    return "".join(f"* {line}\n" for line in lines)


def linked(reference: str) -> str:
    """A reference whose arXiv numbers and DOIs are links."""
    text, done = "", 0
    for match in _SOURCES.finditer(reference):
        arxiv, doi = match.groups()
        where = f"https://arxiv.org/abs/{arxiv}" if arxiv else f"https://doi.org/{doi}"
        text += f"{_escaped(reference[done : match.start()])}[{match.group()}]({where})"
        done = match.end()
    return text + _escaped(reference[done:])


def paragraphs(documented: object) -> list[str]:
    """The paragraphs of a docstring that say what it is: no arguments, errors or sources."""
    blocks = inspect.cleandoc(documented.__doc__ or "").split("\n\n")
    out: list[str] = []
    hidden = False
    for block in blocks:
        if block.startswith(_HIDDEN_SECTIONS) or re.match(r"[A-Z][\w, ]*shapes: ", block):
            hidden = True
            continue
        if hidden and block.startswith("    "):
            continue  # a section goes on
        hidden = False
        out.append(block)
    return out


def prose(blocks: Iterable[str]) -> str:
    """Paragraphs of a docstring as Markdown: what is indented is a formula, as it stands."""
    out = []
    for block in blocks:
        lines = block.split("\n")
        first = next((i for i, line in enumerate(lines) if line.startswith("    ")), len(lines))
        if first:
            out.append(plain("\n".join(lines[:first])) + "\n")
        if first < len(lines):
            out.append(fence(inspect.cleandoc("\n".join(lines[first:]))))
    return "\n".join(out)
