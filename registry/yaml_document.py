"""YAML text to plain data that remembers where everything was written.

The text is only composed into nodes; nothing is ever constructed from a tag. Mappings become
dicts, lists become tuples, and every key and value keeps its line and column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

from yaml.composer import Composer
from yaml.error import Mark, MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from attenergy.registry.errors import (
    ArgumentError,
    Path,
    Place,
    Problem,
    RegistryError,
    clipped,
    dotted,
)
from attenergy.registry.yaml_scalars import Text, read_scalar, text_of

MAX_DEPTH = 32
# Aliases expanded, so that a small file cannot ask for endless memory or time: the built-in
# registry, the largest that there is, has some 4,000 values and 90,000 characters.
MAX_VALUES = 8_000
MAX_CHARACTERS = 1_000_000

# A quoted "\\ud800" reads as half of a surrogate pair, which no file or screen can take.
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")


@dataclass
class Document:
    """One YAML file: its data, the places of its keys and values, and what is wrong so far."""

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    texts: dict[Path, Text] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    spoiled: set[Path] = field(default_factory=set)  # paths whose value could not be read
    merged: set[Path] = field(default_factory=set)  # mappings with a refused merge key

    def get(self, *path: str | int) -> Any:
        """The data at `path`, None where there is none."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def section(self, *path: str | int) -> dict[str, Any]:
        """The mapping at `path`, empty where there is none."""
        value = self.get(*path)
        return value if isinstance(value, dict) else {}

    def place(self, path: Path) -> Place:
        """Where to point for `path`: the key of a mapping, otherwise the value itself."""
        if path in self.keys and isinstance(self.get(*path), dict):
            return self.keys[path]
        return self.values[path]

    def problem(
        self, path: Path, message: str, *, at_key: bool = False, topic: str = "registry-entry"
    ) -> Problem:
        """A problem with the value at `path`, or with its key."""
        place = self.keys[path] if at_key else self.place(path)
        return Problem(place, dotted(path), message, topic)


def read_yaml(
    text: str, file: str, *, what: str = "a registry", first: str = "version: 1"
) -> Document:
    """Read one YAML document whose top level is a mapping.

    Keys that are repeated or are no text, and numbers that cannot be read, are collected in the
    document's `problems`. Tags and merge keys are refused; aliases are read as copies.

    Args:
        text: the document.
        file: its name in errors.
        what: what it is, in errors.
        first: how one begins, for the error of an empty file.

    Raises:
        RegistryError: the text is no YAML, is empty, is too deep or too large, or is no mapping.
    """
    node = _compose(text, file)
    if node is None or (isinstance(node, ScalarNode) and node.value == ""):
        _refuse(_place(file, None), f"the file is empty; {what} begins with {first!r}")
    if not isinstance(node, MappingNode):
        got = "a list" if isinstance(node, SequenceNode) else repr(clipped(str(node.value)))
        where = _place(file, node.start_mark)
        _refuse(where, f"{what} must be a mapping of keys to values, got {got}")
    builder = _Builder(Document(file), text)
    builder.document.data = builder.build(node, ())
    return builder.document


def _place(file: str, mark: Mark | None) -> Place:
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    return Place(file=file, line=line + 1, column=column + 1)


def _refuse(place: Place, message: str) -> NoReturn:
    raise RegistryError([Problem(place, "", message, topic="yaml-syntax")])


class _Composer(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML without its constructor and without its YAML 1.1 reading of scalars."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self.level = 0
        self.nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = clipped(str(tag).replace("tag:yaml.org,2002:", "!!"))
            raise MarkedYAMLError(
                None, None, f"tags are not allowed (got {shown})", event.start_mark
            )
        self.level += 1
        self.nodes += 1
        if self.level > MAX_DEPTH or self.nodes > 2 * MAX_VALUES:  # keys are nodes as well
            limit = f"{MAX_DEPTH} levels" if self.level > MAX_DEPTH else f"{MAX_VALUES} values"
            raise MarkedYAMLError(None, None, f"more than {limit}", event.start_mark)
        node = super().compose_node(parent, index)
        self.level -= 1
        return node


def _compose(text: str, file: str) -> Node | None:
    try:
        composer = _Composer(text)
    except ReaderError as error:  # raised at once for characters that YAML does not allow
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        place = Place(file=file, line=line, column=column)
        _refuse(place, f"character U+{ord(text[error.position]):04X} is not allowed in YAML")
    try:
        return composer.get_single_node()
    except MarkedYAMLError as error:
        _refuse(_place(file, error.problem_mark or error.context_mark), _syntax_message(error))
    except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF"
        where = _place(file, composer.get_mark())
        _refuse(where, "not valid YAML: an escape or a number is out of range")


def _syntax_message(error: MarkedYAMLError) -> str:
    if error.context is None:
        return str(error.problem)
    if error.context == "expected a single document in the stream":
        return "a second document begins here ('---'); a registry file holds one"
    begun = f", begun at line {error.context_mark.line + 1}" if error.context_mark else ""
    message = f"not valid YAML: {error.problem} ({error.context}{begun})"
    if r"'\t'" in str(error.problem):
        message += "; indent with spaces"
    elif error.context in ("while scanning a block scalar", "while scanning for the next token"):
        message += "; text that begins with | @ % or ` needs quotes"
    return message


class _Builder:
    """Walks the nodes of one document, collecting data and places."""

    def __init__(self, document: Document, text: str) -> None:
        self.document = document
        self.text = text
        self.count = 0
        self.characters = 0

    def build(self, node: Node, path: Path) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            message = f"more than {MAX_VALUES} values, aliases included"
            _refuse(self.place(node), message)
        if len(path) > MAX_DEPTH:
            message = f"an alias here leads deeper than {MAX_DEPTH} levels; does it hold itself?"
            _refuse(self.place(node), message)
        self.document.values[path] = self.place(node)
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            return tuple(self.build(item, (*path, i)) for i, item in enumerate(node.value))
        if isinstance(node, ScalarNode):
            return self.scalar(node, path)
        raise TypeError(f"unknown YAML node {type(node).__name__}")

    def place(self, node: Node) -> Place:
        return _place(self.document.file, node.start_mark)

    def weigh(self, node: ScalarNode) -> None:
        """Count the characters of a key or value as often as it is read."""
        # As written: what it stands for is never longer.
        self.characters += node.end_mark.index - node.start_mark.index
        if self.characters > MAX_CHARACTERS:
            message = f"more than {MAX_CHARACTERS} characters, aliases included"
            _refuse(self.place(node), message)

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in data:
                first = self.document.keys[here].line
                text = f"duplicate key {clipped(repr(key))} (first at line {first})"
                self.complain(key_node, path, text, topic="duplicate-key")
                continue
            self.document.keys[here] = self.place(key_node)
            data[key] = None  # before its children, so that a repeated key is seen
            data[key] = self.build(value_node, here)
        return data

    def key(self, node: Node, path: Path) -> str | None:
        if not isinstance(node, ScalarNode):
            self.complain(node, path, "a key must be text, got a list or a mapping")
            return None
        self.weigh(node)
        text = str(node.value)
        if _HALF_CHARACTER.search(text):
            self.complain(node, path, "a key holds half a character (a lone surrogate)")
            return None
        if node.style is not None:
            return text
        if text == "<<":
            message = "merge keys ('<<') are not allowed; write the keys out"
            self.complain(node, path, message)
            self.document.merged.add(path)
            return None
        try:
            read = read_scalar(text)
        except ValueError:
            read = None
        if not isinstance(read, str):
            shown = clipped(text) or "nothing"
            self.complain(node, path, f"a key must be text, got {shown}; use quotes")
            return None
        return read

    def scalar(self, node: ScalarNode, path: Path) -> str | int | float | bool | None:
        self.weigh(node)
        source = self.text[node.start_mark.index : node.end_mark.index]
        self.document.texts[path] = text_of(node.value, node.style, source, self.place(node))
        try:
            if _HALF_CHARACTER.search(node.value):
                raise ArgumentError("the text holds half a character (a lone surrogate)")
            return str(node.value) if node.style is not None else read_scalar(node.value)
        except ValueError as error:
            self.complain(node, path, str(error))
            self.document.spoiled.add(path)
            return None

    def complain(self, node: Node, path: Path, message: str, topic: str = "yaml-syntax") -> None:
        self.document.problems.append(Problem(self.place(node), dotted(path), message, topic))
