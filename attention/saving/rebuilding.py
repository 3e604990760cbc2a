"""Whether what is built from a description is the module that is to be saved."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from attenergy.registry import ArgumentError

#: Attributes of modules that say nothing of what they compute, or that their weights say.
_IGNORED = ("training", "inplace", "in_features", "out_features")
_PLAIN = (bool, int, float, str, type(None))
_OURS = "attenergy."


def check_rebuilt(module: nn.Module, build: Callable[[], nn.Module]) -> None:
    """Check that a module that is built anew takes the weights of another, and computes the same.

    Weights have to have the same names and shapes, parts the same classes. Of parts that are not
    ours, plain attributes are compared; those of ours are described.

    Args:
        module: that is to be saved.
        build: makes the other one, with fresh weights.

    Raises:
        ValueError: it is another one.
    """
    again = _built(build)
    kind = type(module).__name__
    for problem in (_of_weights(module, again), _of_parts(module, again)):
        if problem:
            raise ArgumentError(f"{kind} cannot be saved: {problem}", topic="saved-model")


def _built(build: Callable[[], nn.Module]) -> nn.Module:
    """A new module, on the meta device where it can be: nothing is drawn there."""
    with suppress(Exception), torch.device("meta"):  # what reads values cannot be built there
        return build()
    with torch.random.fork_rng(devices=[]):
        return build()


def _of_weights(module: nn.Module, again: nn.Module) -> str:
    """What is wrong with the weights; empty if nothing is."""
    here = {name: value.detach() for name, value in module.state_dict().items()}
    for name, value in again.state_dict().items():
        if name in here and value.shape != here[name].shape:
            there = tuple(value.shape)
            return f"'{name}' is {tuple(here[name].shape)}, and {there} by its arguments"
    try:
        keys = again.load_state_dict(here, strict=False, assign=True)
    except RuntimeError as error:
        return f"its weights do not fit its arguments: {str(error)[:500]}"
    if keys.unexpected_keys:
        name = min(keys.unexpected_keys)
        return f"what its arguments make has no '{name}'{_advice(name)}"
    if keys.missing_keys:
        name = min(keys.missing_keys)
        return f"it lacks '{name}', which its arguments make"
    return ""


def _advice(name: str) -> str:
    if "parametrizations." in name:
        return "; torch.nn.utils.parametrize.remove_parametrizations makes one permanent"
    if name.endswith(("_orig", "_mask")):
        return "; torch.nn.utils.prune.remove makes a mask permanent"
    if "_orig_mod." in name:
        return "; compile a part in place by its method `compile`"
    return "; merge or take off what was added"


def _of_parts(module: nn.Module, again: nn.Module) -> str:
    """What is wrong with the parts of a module, and with itself; empty if nothing is."""
    cls, built = type(module), type(again)
    describes_itself = getattr(cls, "description", None) is not getattr(built, "description", None)
    if not describes_itself and cls.forward is not built.forward:
        return (
            f"it has a `forward` of its own, and what is read is of class {built.__name__}; save "
            "its state_dict, or give the class a `description`"
        )
    parts = dict(module.named_modules())
    for name, other in again.named_modules():
        if name and (name not in parts or not _alike(parts[name], other)):
            return f"'{name}' is {_shown(parts.get(name))}, and {_shown(other)} by its arguments"
    return ""


def _alike(part: nn.Module, other: nn.Module) -> bool:
    """Whether two parts with the same weights compute the same."""
    cls, built = type(part), type(other)
    related = issubclass(cls, built) or issubclass(built, cls)
    if not related or cls.forward is not built.forward:
        return False
    return built.__module__.startswith(_OURS) or _options(part) == _options(other)


def _options(part: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(part).items()
        if isinstance(value, _PLAIN) and name not in _IGNORED and not name.startswith("_")
    }


def _shown(part: nn.Module | None) -> str:
    if part is None:
        return "not there"
    options = ", ".join(f"{name}={value}" for name, value in _options(part).items())
    ours = type(part).__module__.startswith(_OURS)
    return f"{type(part).__name__}({'' if ours else options})"
