"""The blocks of code of a Markdown page, with what the comments above them say.

A comment stands just above its fence, one line each:

    file: NAME      the block is written to this file of the page's folder; Python in it is not run
    run: slow       run by `make test-slow` only; else as if it were checked
    run: small      run with less to compute, see tests/docs/small.py
    run: checked    never run: options and names are checked, Python is compiled
    run: fails      ends with exit code 2, or raises
    run: output     what the block before it printed; words are compared, numbers are not
    exit: 1         the exit code of a line of the block, if it is not 0
    before: LINE    a command that is run before the block and is not shown
    because: WHY    no test can run the block, or a line of it (`pip`, `make`, `ray`, ...)
    needs: PACKAGE  skipped where this package is not installed

A block that cannot be run has the reason beside it; words may stand together (`run: small slow`).
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: How often a run word may be given, and to which languages.
RUNS = {
    "slow": {"python", "sh"},
    "small": {"sh"},
    "checked": {"python", "sh"},
    "fails": {"python", "sh", "yaml"},
    "output": {"text"},
}
NOTES = {"file", "run", "exit", "before", "because", "needs"}
LANGUAGES = {"python", "sh", "yaml", "text", "toml", "json", "csv", "bibtex", "mermaid", "html"}
_FENCE = re.compile(r"^(\s*(?:>\s?)*)(`{3,}|~{3,})\s*([^`]*)$")
_INDENTED = re.compile(r"^(?: {4}|\t)\s*(?:>>> |\$ |attenergy |python |pip )")
_NOTE = re.compile(r"^\s*(?:>\s?)*<!--\s*([a-z ]+):\s*(.*?)\s*-->\s*$")


class BadPage(Exception):
    """A page says something about a block that no test could follow."""


@dataclass(frozen=True)
class Block:
    """One fence: where it begins, its language, its code and the notes above it."""

    page: Path
    line: int  # of the fence, from 1
    language: str
    code: str
    notes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def file(self) -> str | None:
        """Where the block is to be saved."""
        return self.notes.get("file", [None])[0]

    @property
    def run(self) -> set[str]:
        """The words of its `run` notes."""
        return {word for note in self.notes.get("run", ()) for word in note.split()}

    @property
    def because(self) -> str:
        """Why the block, or a line of it, is never run."""
        return " ".join(self.notes.get("because", ()))

    @property
    def exit_code(self) -> int:
        """With which its last command ends."""
        return 2 if "fails" in self.run else int(self.notes.get("exit", ["0"])[0])

    @property
    def place(self) -> str:
        """`docs/page.md:12`."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def check(self) -> None:
        """Refuse what cannot be followed.

        Raises:
            BadPage: a fence without a language, an unknown note, or notes that do not fit.
        """
        if not self.language:
            raise BadPage(f"{self.place}: a fence without a language; use text")
        if self.language not in LANGUAGES:
            raise BadPage(f"{self.place}: {self.language!r} is none of {sorted(LANGUAGES)}")
        if unknown := set(self.notes) - NOTES:
            raise BadPage(f"{self.place}: unknown notes {sorted(unknown)}; known: {sorted(NOTES)}")
        for word in self.run:
            if self.language not in RUNS.get(word, ()):
                raise BadPage(f"{self.place}: a {self.language} block cannot be 'run: {word}'")
        if self.run >= {"slow", "checked"}:
            raise BadPage(f"{self.place}: what is checked is never run, so it is not slow")
        if "small" in self.run and "checked" in self.run:
            raise BadPage(f"{self.place}: what is checked is never run, so it has no size")
        if "before" in self.notes and "checked" in self.run:
            raise BadPage(f"{self.place}: what is checked is never run, so nothing comes before")


def blocks_of(page: Path) -> list[Block]:
    """Every fence of a page, in its order; those in lists and quotes too."""
    lines = page.read_text(encoding="utf-8").splitlines()
    result: list[Block] = []
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if _INDENTED.match(lines[number]):
            place = f"{page.relative_to(ROOT)}:{number + 1}"
            raise BadPage(f"{place}: code without a fence, which nothing runs")
        if opening is None:
            number += 1
            continue
        lead, fence, info = opening.groups()
        closing = re.compile(rf"^\s*(?:>\s?)*{fence[0]}{{{len(fence)},}}\s*$")
        end = number + 1
        while end < len(lines) and not closing.match(lines[end]):
            end += 1
        if end == len(lines):
            raise BadPage(f"{page.relative_to(ROOT)}:{number + 1}: a fence that is not closed")
        inside = [
            re.sub(r"^\s*> ?", "", line) if ">" in lead else line
            for line in lines[number + 1 : end]
        ]
        code = textwrap.dedent("\n".join(inside)) + "\n"
        language = info.split()[0].strip("{}.") if info.split() else ""
        result.append(Block(page, number + 1, language, code, _notes_above(lines, number)))
        number = end + 1
    return result


def _notes_above(lines: list[str], number: int) -> dict[str, list[str]]:
    """What the comments say that end on the line above, or one blank line above."""
    notes: dict[str, list[str]] = {}
    above = number - 1
    if above >= 0 and not lines[above].strip():
        above -= 1
    while above >= 0 and (note := _NOTE.match(lines[above])):
        if note[1] != "made by":  # of a picture
            notes.setdefault(note[1], []).insert(0, note[2])
        above -= 1
    return notes


def pages() -> list[Path]:
    """README, CONTRIBUTING and every page of docs/ that has a fence."""
    every = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        page
        for page in every
        if re.search(r"^\s*(>\s?)*(```|~~~)", page.read_text(encoding="utf-8"), re.M)
    ]
