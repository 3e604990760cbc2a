"""The options of a task are the arguments of its constructor, kept in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

#: What every task is called with, beside its options.
COMMON = ("name", "seed", "split_seed")


def recorded(constructor: Callable[..., None]) -> Callable[..., None]:
    """A constructor that keeps what it is called with, defaults included.

    It is there as `options`, `name`, `seed` and `split_seed` before the constructor's own code
    runs. Of several constructors that call one another, the first one's arguments count.
    """
    signature = inspect.signature(constructor)

    @wraps(constructor)
    def construct(self: Any, *args: Any, **given: Any) -> None:
        if "options" not in vars(self):
            try:
                bound = signature.bind(self, *args, **given)
            except TypeError:
                constructor(self, *args, **given)  # which says it as Python does
                raise
            bound.apply_defaults()
            _, *called_with = bound.arguments.items()
            self.options = dict(called_with)
            for key in COMMON:
                if key in self.options:
                    setattr(self, key, self.options.pop(key))
        constructor(self, *args, **given)

    return construct


def options_of(task: type) -> tuple[str, ...]:
    """Names of the options of a class of tasks."""
    return tuple(key for key in inspect.signature(task).parameters if key not in COMMON)
