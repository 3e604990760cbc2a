"""Keywords that nothing takes: what is said of them, wherever they were given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter as Argument
from inspect import Signature, signature
from typing import Any

from attenergy.registry import ArgumentError, nearest

_GATHERING = (Argument.VAR_POSITIONAL, Argument.VAR_KEYWORD)


class UnknownSetting(ArgumentError):
    """A keyword that is neither a setting of an energy nor an argument of what takes it.

    Args:
        setting: the keyword.
        owner: what has settings, as messages name it.
        known: its settings.
        taker: what the keyword was given to; the owner itself if empty.
        arguments: what that takes besides, but for what it cannot do without, which was given.
        by_keyword: of these, what may be given to something that passes its keywords on to it.
    """

    def __init__(
        self,
        setting: str,
        owner: str,
        known: Sequence[str],
        taker: str = "",
        arguments: Sequence[str] = (),
        by_keyword: Sequence[str] = (),
    ) -> None:
        self.setting, self.owner, self.known = setting, owner, known
        self.taker, self.arguments, self.by_keyword = taker, arguments, by_keyword
        super().__init__(
            setting, owner, known, taker, arguments, by_keyword, topic="unknown-name"
        )  # all of them, so that it can be pickled

    def __str__(self) -> str:
        hint = nearest(self.setting, [*self.arguments, *self.known])
        known, hint = ", ".join(self.known) or "none", f" ({hint})" if hint else ""
        if not self.taker:
            return f"{self.owner} has no setting '{self.setting}'{hint}; known: {known}"
        return (
            f"{self.taker} takes no argument '{self.setting}'{hint}; known: "
            f"{', '.join(self.arguments)}; settings of {self.owner}: {known}"
        )

    def given_to(
        self, taker: Callable[..., Any], also: Iterable[str], never: Iterable[str]
    ) -> UnknownSetting:
        """The same of a class or function that takes its arguments by its signature."""
        own = _arguments(taker)
        passed = [name for name in (*also, *self.by_keyword) if name not in never]
        free = [argument.name for argument in own if argument.kind is Argument.KEYWORD_ONLY]
        return UnknownSetting(
            self.setting,
            self.owner,
            self.known,
            taker.__name__,
            tuple(dict.fromkeys([*(argument.name for argument in own), *passed])),
            tuple(dict.fromkeys([*free, *passed])),
        )


@contextmanager
def known_arguments(
    taker: Callable[..., Any], also: Iterable[str] = (), never: Iterable[str] = ()
) -> Iterator[None]:
    """Let what is said of an unknown setting name all that a class or function takes.

    Args:
        taker: whose keywords are settings where they are no arguments of its own.
        also: what it takes besides those that its signature names.
        never: what it does not take, though it passes its keywords on to something that does.
    """
    try:
        yield
    except UnknownSetting as error:
        raise error.given_to(taker, also, never) from None


def check_settings(settings: Mapping[str, object], known: Iterable[str], owner: str) -> None:
    """Refuse settings that an energy does not have.

    Raises:
        ValueError: naming the unknown setting, the nearest and all known ones.
    """
    known = tuple(known)
    for name in settings:
        if name not in known:
            raise UnknownSetting(name, owner, known)


def _arguments(taker: Callable[..., Any]) -> list[Argument]:
    """The named arguments of a function or a constructor that have a default.

    Those of a user's class are followed by those of the class of this package that it derives from.
    """
    if not isinstance(taker, type):
        return _named(signature(taker))
    named: list[Argument] = []
    ours = False
    for cls in taker.__mro__:
        ours = ours or cls.__module__.startswith("attenergy.")
        if "__init__" in vars(cls):
            named += _named(signature(cls.__init__))  # type: ignore[misc]  # it is `cls`'s own
            if ours:
                break
    return named


def _named(of: Signature) -> list[Argument]:
    arguments = of.parameters.values()
    return [a for a in arguments if a.kind not in _GATHERING and a.default is not Argument.empty]
