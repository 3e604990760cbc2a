"""The functions that build a user's own models, by `module:function`.

Only a module that the user has named (`--model`, `--plugin`, `plugins=[...]`), or that an installed
plug-in names, is looked into, and only for what it defines itself: a saved folder or a record that
says `os:system` runs nothing.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from attenergy.registry import (
    ArgumentTypeError,
    Catalogue,
    ModelSpec,
    OwnModel,
    OwnModelError,
    UnknownName,
)
from attenergy.registry.plugins import failures, loaded_plugin

#: Fields of a run's model that a function is given if it has an argument of that name.
FIELDS = tuple(ModelSpec.model_fields)
_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_DIGITS = 16  # of a digest
_MORE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True)
class ModelBuilder:
    """A function `build(make_layer, task, ...)` that returns a model.

    Every argument is given by its name: `make_layer`, `task`, fields of the run's model (`width`,
    `heads`, `layers`, ...), and options that the user sets. Without `make_layer` it returns a plain
    PyTorch model, whose attention is replaced.

    Attributes:
        name: `module:function`.
        function: the function.
        source: digest of the file that holds it; empty if there is none.
        file: that file.
    """

    name: str
    function: Callable[..., Any]
    source: str
    file: str

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The arguments of the function that have a name."""
        try:
            own = inspect.signature(self.function).parameters
        except (TypeError, ValueError) as error:
            raise ArgumentTypeError(
                f"{self.name} is no function with named arguments", topic="own-model"
            ) from error
        return {name: p for name, p in own.items() if p.kind not in _MORE}

    @property
    def replaces(self) -> bool:
        """Whether it returns a model whose attention is to be replaced."""
        return "make_layer" not in self.parameters

    def fields(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Fields of the run's model that it is given."""
        return tuple(n for n in self.parameters if n in FIELDS and n not in options)

    def check(self, options: Mapping[str, Any]) -> None:
        """See that the function can be called with these options.

        Raises:
            ArgumentError: it has an argument that nothing gives, or cannot be given by name.
            UnknownName: it takes no option of such a name.
        """
        own = self.parameters
        given = {"make_layer", "task", *FIELDS, *options}
        for name, parameter in own.items():
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise OwnModelError(
                    f"{self.name}: {name!r} cannot be given by its name; drop the /"
                )
            if name not in given and parameter.default is parameter.empty:
                raise OwnModelError(
                    f"{self.name}: nothing gives its argument {name!r}. It may take make_layer, "
                    f"task, fields of the run's model ({', '.join(FIELDS)}), and others with a "
                    f"default or a value from you (--model-option {name}=...)"
                )
        known = [name for name in own if name not in {"make_layer", "task"}]
        takes_all = any(
            p.kind is p.VAR_KEYWORD for p in inspect.signature(self.function).parameters.values()
        )
        for name in options:
            if name in {"make_layer", "task"} or (name not in known and not takes_all):
                raise UnknownName(f"option of {self.name}", name, known)

    def __call__(self, make_layer: object, task: object, model: ModelSpec, own: OwnModel) -> Any:
        """Call the function with what it takes.

        Raises:
            ArgumentError: see `check`.
            ArgumentTypeError: it returns no module.
        """
        self.check(own.options)
        offered = {"make_layer": make_layer, "task": task, **dict(model)}
        taken = {name: offered[name] for name in self.parameters if name in offered}
        result = self.function(**{**taken, **own.options})
        if not isinstance(result, nn.Module):
            raise ArgumentTypeError(
                f"{self.name} must return an nn.Module, got {type(result).__name__}",
                topic="own-model",
            )
        return result


class _Builders(Catalogue[ModelBuilder]):
    """Functions by `module:function`, looked up in the plug-ins of this process."""

    def lookup(self, name: str) -> ModelBuilder:
        """The function of this name.

        Raises:
            UnknownName: the module is no plug-in of this process, or defines no such function.
        """
        if name not in self:
            self._find(name)
        return self[name]

    def _find(self, name: str) -> None:
        module, _, function = name.partition(":")
        if not _TARGET.fullmatch(name):
            raise UnknownName(self.kind, name, self, "write module:function, as in my_module:build")
        plugin = loaded_plugin(module)
        if plugin is None:
            note = "; ".join(failures()) or (
                f"its module is imported only if you name it: --model or --plugin {module}, "
                f"plugins=[{module!r}] in Python"
            )
            raise UnknownName(self.kind, name, self, note)
        code = sys.modules[module]
        own = _defined_in(code)
        if function not in own:
            where = getattr(code, "__file__", None) or "no file"
            raise UnknownName(f"function of {module}", function, own, f"the module is {where}")
        file = inspect.getsourcefile(code) or ""
        self[name] = ModelBuilder(name, own[function], _digest(file), file)
        self.owners[name] = plugin


def _defined_in(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """Functions and classes that a module, or another of its package, defines."""
    package = module.__name__.partition(".")[0]
    return {
        name: thing
        for name, thing in vars(module).items()
        if callable(thing)
        and str(getattr(thing, "__module__", "")).partition(".")[0] == package
        and not name.startswith("_")
    }


def _digest(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:_DIGITS] if file else ""
    except OSError:
        return ""


#: What `--model` may name; filled as names are looked up.
MODELS = _Builders("model", object, {})
