"""Tables of what can be chosen by name, open to a user's own code."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, TypeVar, overload

from attenergy.registry.errors import ArgumentError, ArgumentTypeError, UnknownName, clipped
from attenergy.registry.plugins import (
    Plugin,
    failures,
    load_plugins,
    loading,
    undo_on_failure,
)

T = TypeVar("T")
Thing = TypeVar("Thing")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
SCRIPT = "__main__"  # the module of a program's main script


class Catalogue(dict[str, T]):
    """Things of one kind by name, which `register` adds to and `lookup` reads.

    Args:
        kind: what one of them is called, as in "no energy class 'Foo'".
        base: what each has to be: a class stands for its subclasses, see `instances`.
        things: those of the toolkit itself.
        instances: `base` stands for its instances instead; of a subclass one is made.
        row: makes what goes into the table of a plain function.

    Example:
        >>> from attenergy.energies import CLASSES
        >>> CLASSES.lookup("GraphMemory").__name__
        'GraphMemory'
    """

    def __init__(
        self,
        kind: str,
        base: type,
        things: Mapping[str, T],
        *,
        instances: bool = False,
        row: Callable[[Any], T] | None = None,
    ) -> None:
        super().__init__(things)
        self.kind, self.base, self.instances, self.row = kind, base, instances, row
        #: Who has registered a thing: a plug-in, or a module that was imported otherwise. What
        #: belongs to the toolkit is not in it.
        self.owners: dict[str, Plugin] = {}
        CATALOGUES[kind] = self

    def lookup(self, name: str) -> T:
        """The thing of this name; plug-ins are loaded for one that is not there yet.

        Raises:
            UnknownName: there is none. The text names the nearest one, and plug-ins left out.
        """
        if name not in self:
            load_plugins()
        if name not in self:
            raise UnknownName(self.kind, name, self, "; ".join(failures()))
        return self[name]

    @overload
    def register(
        self, thing: str | None = None, /, *, name: None = None
    ) -> Callable[[Thing], Thing]: ...
    @overload
    def register(self, thing: Thing, /, *, name: str | None = None) -> Thing: ...
    def register(self, thing: Any = None, /, *, name: str | None = None) -> Any:
        """Add a thing of your own, which is then known wherever one of the toolkit's is.

        A function and a decorator: `register(Foo)`, `register(Foo, name="Bar")`, `@register`,
        `@register("Bar")`. What the same module defines again, as when a cell of a notebook is run
        twice, takes the place of what it was before.

        Args:
            thing: what is added; its `__name__` (or `name`) is its name if none is given.
            name: what registry files and options call it.

        Returns:
            The thing, unchanged.

        Raises:
            ArgumentTypeError: it is not of the kind that this table holds.
            ArgumentError: the name is taken, or no name.

        Example:
            >>> @attenergy.register_energy
            ... class Pull(attenergy.Energy):
            ...     reads_field = False
            ...     def energy(self, xi, X, mask, field):
            ...         scores = xi @ X.mT
            ...         scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
            ...         return 0.5 * (xi * xi).sum(-1) - scores.logsumexp(-1)
            >>> attenergy.EnergyAttention(8, 2, Pull)(torch.randn(1, 4, 8)).shape
            torch.Size([1, 4, 8])
        """
        if thing is None or isinstance(thing, str):
            return lambda decorated: self.register(decorated, name=thing)
        called = _own_name(thing) if name is None else name
        new = self._checked(thing)
        owner = loading() or _calling_module()
        self._check_name(called, new, owner)
        before = self.get(called), self.owners.get(called)
        undo_on_failure(lambda: self._restore(called, *before))
        self[called], self.owners[called] = new, owner
        return thing

    def name_of(self, thing: object) -> str | None:
        """The name under which a thing is registered, None if it is not."""
        return next((name for name, other in self.items() if other is thing), None)

    def _restore(self, name: str, thing: T | None, owner: Plugin | None) -> None:
        del self[name], self.owners[name]
        if thing is not None:
            self[name] = thing
        if owner is not None:
            self.owners[name] = owner

    def _checked(self, thing: Any) -> T:
        """What goes into the table for a thing; of a class, in a table of instances, one."""
        base, derived = f"{self.base.__module__}.{self.base.__qualname__}", self._is_derived(thing)
        if self.instances and derived:
            thing = thing()
        elif self.row is not None and isinstance(thing, FunctionType):
            thing = self.row(thing)
            derived = self._is_derived(thing)
        if not (isinstance(thing, self.base) if self.instances else derived):
            expected = f"a subclass of {base}{' or an instance' if self.instances else ''}"
            expected += " or a function" if self.row is not None else ""
            got = clipped(repr(thing), 120)
            raise ArgumentTypeError(
                f"{self._a_kind} must be {expected}, got {got}", topic="register"
            )
        if missing := sorted(getattr(thing, "__abstractmethods__", ())):
            raise ArgumentTypeError(
                f"{self._a_kind} must define {', '.join(missing)}, which "
                f"{clipped(repr(thing), 120)} does not",
                topic="register",
            )
        return thing  # type: ignore[no-any-return]

    @property
    def _a_kind(self) -> str:
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    def _is_derived(self, thing: object) -> bool:
        return isinstance(thing, type) and issubclass(thing, self.base) and thing is not self.base

    def _check_name(self, name: object, thing: object, owner: Plugin) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ArgumentError(
                f"the name of {self._a_kind} must be a letter, then at most 63 letters, digits and "
                f"_, got {clipped(repr(name), 120)}",
                topic="register",
            )
        if name not in self or self[name] is thing:
            return
        other = self.owners.get(name)
        if other is None or other != owner or _origin(self[name]) != _origin(thing):
            whose = "attenergy itself" if other is None else str(other)
            raise ArgumentError(
                f"the name {name!r} is taken by the {self.kind} of {whose}; give yours another",
                topic="name-taken",
            )


#: Every table, by its kind.
CATALOGUES: dict[str, Catalogue[Any]] = {}


def _own_name(thing: Any) -> Any:
    return getattr(thing, "__name__", None) or getattr(thing, "name", None)


def _origin(thing: Any) -> tuple[str, str]:
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return kind.__module__, kind.__qualname__


def _calling_module() -> Plugin:
    """The module, outside of the toolkit, whose code is running."""
    frame = sys._getframe()
    while frame.f_back is not None and _of_toolkit(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    module = str(frame.f_globals.get("__name__", SCRIPT))
    return Plugin(module, module)


def _of_toolkit(module: str) -> bool:
    return module == "attenergy" or module.startswith("attenergy.")
