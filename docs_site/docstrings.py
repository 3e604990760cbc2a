"""How docstrings of the project become pages: a griffe extension, which mkdocstrings loads."""

from __future__ import annotations

import re
from typing import Any

from griffe import Attribute, Docstring, Extension, Object

_EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class ProjectDocstrings(Extension):
    """`Example:` is a section of code, and `#:` above a constant says what it is."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Call a single example by the plural that the parser of docstrings knows."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(r"\1Examples:", obj.docstring.value)

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Read the comment above a constant that has no docstring."""
        if attr.docstring is not None or attr.lineno is None or not attr.module.is_module:
            return
        comment: list[str] = []
        for line in reversed(attr.lines_collection[attr.filepath][: attr.lineno - 1]):
            if not line.strip().startswith("#:"):
                break
            comment.insert(0, line.strip().removeprefix("#:").strip())
        if comment:
            attr.docstring = Docstring(" ".join(comment), parent=attr)
