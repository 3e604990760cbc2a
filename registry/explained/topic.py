"""What one kind of error, or one law, is explained with."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from attenergy.registry.errors import explained_by


@dataclass(frozen=True)
class Example:
    """Wrong input, and the message that it gives.

    Attributes:
        code: Python, or one command line.
        message: the text of the error; `...` stands for what differs from machine to machine.
        language: of the code.
        files: files that have to be there first, by name.
        before: Python that has to run first, where one thing alone gives no error.
        situation: the same in words.
        slow: whether it trains something.
    """

    code: str
    message: str
    language: Literal["python", "sh"] = "python"
    files: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    situation: str = ""
    slow: bool = False

    def markdown(self, topic: str) -> str:
        """The files, the code and the message in fences; comments are for the tests."""
        blocks = [f"{self.situation}\n"] if self.situation else []
        for name, text in self.files.items():
            # What is wrong in a file shows where it is used, so it is no YAML here.
            language = "python" if name.endswith(".py") else "text"
            blocks += [f"<!-- file: {name} -->", f"```{language}\n{text.strip()}\n```\n"]
        if self.language == "sh":
            return "\n".join([*blocks, f"```text\n{self._session(topic)}\n```"])
        how = "checked" if self.before else "fails"
        blocks += [f"<!-- run: {how} -->", f"```python\n{self.code.strip()}\n```\n"]
        return "\n".join([*blocks, f"```text\n{self.message.strip()}\n```"])

    def plain(self, topic: str) -> str:
        """The same for a terminal."""
        parts = [self.situation] if self.situation else []
        for name, text in self.files.items():
            parts += [f"{name}:", _indented(text)]
        if self.language == "sh":
            return "\n".join([*parts, _indented(self._session(topic))])
        return "\n".join([*parts, "This", _indented(self.code), "says", _indented(self.message)])

    def _session(self, topic: str) -> str:
        """The command line and what it says."""
        return f"$ {self.code.strip()}\n{self.message.strip()} {explained_by([topic])}"


@dataclass(frozen=True)
class Topic:
    """One kind of error, under the name that messages give.

    Attributes:
        name: of the kind; also the address in `docs/errors.md`.
        title: what it is, in a few words.
        meaning: what cannot be done, and why.
        cause: how it usually comes about.
        mend: what to do.
        example: that gives it.
        page: in `docs/`, where there is more, and how a link to it is called.
    """

    name: str
    title: str
    meaning: str
    cause: str
    mend: str
    example: Example
    page: tuple[str, str] | None = None

    def markdown(self) -> str:
        """The part of the page on this topic; its heading is the address."""
        parts = [
            f"### {self.name}\n",
            f"**{self.title}.** {_flowing(self.meaning)}\n",
            f"*Usual cause.* {_flowing(self.cause)}\n",
            f"*What to do.* {_flowing(self.mend)}\n",
            self.example.markdown(self.name),
        ]
        if self.page is not None:
            parts += ["", f"More: [{self.page[1]}]({self.page[0]})"]
        return "\n".join(parts) + "\n"

    def plain(self) -> str:
        """The same for a terminal."""
        parts = [
            f"{self.name}: {self.title}",
            _wrapped(self.meaning),
            _wrapped(f"Usual cause: {self.cause}"),
            _wrapped(f"What to do: {self.mend}"),
            self.example.plain(self.name),
        ]
        if self.page is not None:
            parts.append(f"More: docs/{self.page[0]}")
        return "\n\n".join(parts)


@dataclass(frozen=True)
class Law:
    """One law of energies, under the name that `attenergy energies check` prints.

    Attributes:
        name: of the law as a topic; also the address in `docs/laws.md`.
        label: number and name, as in `attenergy.testing.LAWS`.
        says: what must hold.
        why: it must.
        tested: how.
        tolerance: in the test.
        broken: what usually breaks it.
        mend: what to do.
        file: name of the example's file.
        text: of an energy `mine`, or a class `Mine`, that breaks this law.
    """

    name: str
    label: str
    says: str
    why: str
    tested: str
    tolerance: str
    broken: str
    mend: str
    file: str
    text: str

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        number, name = self.label.split(" ", 1)
        return f"Law {number}: {name}"

    @property
    def command(self) -> str:
        """What checks the example."""
        what = "mine:Mine" if self.file.endswith(".py") else self.file
        return f"attenergy energies check {what}"

    def markdown(self) -> str:
        """The part of the page on this law; its heading is the address."""
        marked = [f"*{part.replace(':', ':*', 1)}\n" for part in map(_flowing, self._parts())]
        language = "python" if self.file.endswith(".py") else "yaml"
        example = [f"<!-- file: {self.file} -->", f"```{language}\n{self.text.strip()}\n```\n"]
        check = ["<!-- exit: 1 -->", "<!-- run: slow -->", f"```sh\n{self.command}\n```"]
        head = [f"### {self.name}\n", f"**{self.title}.** {_flowing(self.says)}\n"]
        return "\n".join([*head, *marked, "An energy that breaks it:\n", *example, *check]) + "\n"

    def plain(self) -> str:
        """The same for a terminal."""
        head = [f"{self.name}: {self.title}", _wrapped(self.says)]
        example = f"An energy that breaks it ({self.file}):\n{_indented(self.text)}"
        parts = [*head, *map(_wrapped, self._parts()), example]
        return "\n\n".join([*parts, f"    {self.command}"])

    def _parts(self) -> Iterator[str]:
        yield f"Why: {self.why}"
        yield f"How it is tested: {self.tested} Tolerance: {self.tolerance}."
        yield f"What usually breaks it: {self.broken}"
        yield f"How to mend it: {self.mend}"


def _flowing(text: str) -> str:
    return " ".join(text.split())


def _wrapped(text: str) -> str:
    return textwrap.fill(_flowing(text), 88)


def _indented(text: str) -> str:
    return textwrap.indent(text.strip(), "    ")
