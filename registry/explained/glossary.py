"""The words of the toolkit, read from `glossary.md`: `attenergy explain` and a page of the docs."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from functools import cache
from importlib import resources

_WIDTH = 88
_HEADING = re.compile(r"^## (.*)$", re.MULTILINE)
_COMMENT = re.compile(r"<!-- .*? -->")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)]*)\)")
#: Links in parentheses at the end of an entry, with commas between them.
_PAGES = re.compile(rf"\(({_LINK.pattern}(?:, {_LINK.pattern})*)\)$")


@dataclass(frozen=True)
class Word:
    """One word of the glossary.

    Attributes:
        name: the word.
        text: what it means, in Markdown.
        pages: in `docs/`, that explain more, with the heading where they do.
    """

    name: str
    text: str
    pages: tuple[str, ...]

    def plain(self) -> str:
        """The entry for a terminal: links are their text."""
        text = _LINK.sub(r"\1", self.text)
        parts = [
            f"{self.name}: a word of the glossary",
            textwrap.fill(text, _WIDTH, break_on_hyphens=False),
            f"More: {', '.join(f'docs/{page}' for page in self.pages)}",
        ]
        return "\n\n".join(parts)


@cache
def glossary_text(comment: str | None = None) -> str:
    """The text of `glossary.md`; a comment takes the place of the one at its top."""
    text = resources.files(__package__).joinpath("glossary.md").read_text("utf-8")
    return text if comment is None else _COMMENT.sub(lambda _: f"<!-- {comment} -->", text, count=1)


@cache
def glossary_words() -> dict[str, Word]:
    """All words by name, in the order of the glossary."""
    _, *parts = _HEADING.split(glossary_text())
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {name: _word(name, " ".join(entry.split())) for name, entry in pairs}


def _word(name: str, entry: str) -> Word:
    last = _PAGES.search(entry)
    if last is None:
        raise RuntimeError(f"glossary.md: {name!r} ends with no link to a page")
    pages = tuple(page for _, page in _LINK.findall(last[1]))
    return Word(name, entry[: last.start()].strip(), pages)
