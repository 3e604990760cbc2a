"""How docstrings of the project become pages: a griffe extension, which mkdocstrings loads."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from griffe import (
    Attribute,
    Class,
    Docstring,
    Extension,
    Function,
    Object,
    Parameter,
    ParameterKind,
    Parameters,
)

_EXAMPLE = re.compile(r"^(\s*)Example:$", re.MULTILINE)


class ProjectDocstrings(Extension):
    """`Example:` is code, `#:` documents a constant, and a model of pydantic shows its fields."""

    models: ClassVar[set[str]] = {"BaseModel", "Entry", "Tunable", "Resources"}

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

    def on_class_members(self, *, cls: Class, **_: Any) -> None:
        """Give a model of pydantic the constructor that it has: its fields, by name."""
        bases = {str(base).rpartition(".")[2] for base in cls.bases}
        if not bases & self.models or "__init__" in cls.members:
            return
        self.models.add(cls.name)
        fields = [
            Parameter(
                name,
                annotation=field.annotation,
                kind=ParameterKind.keyword_only,
                default=field.value if field.value is None else str(field.value),
            )
            for name, field in cls.members.items()
            if isinstance(field, Attribute)
            and field.annotation is not None
            and not name.startswith("_")
            and "ClassVar" not in str(field.annotation)
        ]
        own = [Parameter("self", kind=ParameterKind.positional_or_keyword)]
        cls.set_member("__init__", Function("__init__", parameters=Parameters(*own, *fields)))
