"""The options of a task are the arguments of its constructor, kept in one place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

#: What every task is called with, beside its options.
COMMON = ("name", "seed", "split_seed")
#: An option of every task, whether or not its constructor names it.
TRAIN_INSTANCES = "train_instances"


def recorded(constructor: Callable[..., None]) -> Callable[..., None]:
    """A constructor that keeps what it is called with, defaults included.

    It is there as `options`, `name`, `seed` and `split_seed` before the constructor's own code
    runs. Of several constructors that call one another, the first one's arguments count. A
    `train_instances` that the constructor does not name is an attribute by then.
    """
    signature = inspect.signature(constructor)
    unnamed = {TRAIN_INSTANCES} - signature.parameters.keys()

    @wraps(constructor)
    def construct(self: Any, *args: Any, **given: Any) -> None:
        if "options" not in vars(self):
            common = {key: given.pop(key) for key in unnamed & given.keys()}
            try:
                bound = signature.bind(self, *args, **given)
            except TypeError:
                constructor(self, *args, **given)  # which says it as Python does
                raise
            bound.apply_defaults()
            _, *called_with = bound.arguments.items()
            self.options = dict(called_with) | common
            vars(self).update(common)
            for key in COMMON:
                if key in self.options:
                    setattr(self, key, self.options.pop(key))
        constructor(self, *args, **given)

    return construct


def options_of(task: type) -> tuple[str, ...]:
    """Names of the options of a class of tasks."""
    named = (key for key in inspect.signature(task).parameters if key not in COMMON)
    return tuple(dict.fromkeys((*named, TRAIN_INSTANCES)))
