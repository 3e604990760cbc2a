"""Exchanging attention modules where they stand, so that all that they carry stays with them.

A module is not built anew: it changes its class. Parameters keep their identity, and with them
ties, hooks on gradients, `requires_grad` and optimisers; the module keeps its hooks, buffers,
parametrisations, pruning masks, mode and attributes, and whoever refers to it.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from attenergy.registry import ArgumentError

#: What a sub-class may define and still compute what its base computes.
_HARMLESS = frozenset({
    "__init__", "__module__", "__qualname__", "__doc__", "__annotations__", "__constants__",
    "__firstlineno__", "__static_attributes__", "__annotate__", "__annotate_func__",
    "__annotations_cache__", "__parameters__", "__orig_bases__", "__type_params__", "__dict__",
    "__weakref__", "__repr__", "__str__", "extra_repr",
})  # fmt: skip


#: The three input maps, where they are not packed.
MAPS = ("q_proj_weight", "k_proj_weight", "v_proj_weight")


class Part:
    """One of the three input maps: a parameter of its own, or rows of the packed one."""

    def __init__(self, name: str) -> None:
        self.name, self.index = name, MAPS.index(name)

    def __get__(self, layer: nn.MultiheadAttention, owner: type | None = None) -> Any:
        parameters = {} if layer is None else layer._parameters
        if self.name not in parameters:
            raise AttributeError(self.name)
        own, packed = parameters[self.name], layer.in_proj_weight
        return own if packed is None else packed.chunk(3)[self.index]


def check_exchange(name: str, attention: nn.MultiheadAttention) -> None:
    """Check that exchanging the class of an attention module takes nothing from what it does.

    Args:
        name: what the module is called in messages.
        attention: an `nn.MultiheadAttention`.

    Raises:
        ValueError: it, or its `out_proj`, does something of its own.
    """
    kind = parametrize.type_before_parametrizations(attention)
    own = _overridden(attention, nn.MultiheadAttention)
    if own:
        raise ArgumentError(
            f"'{name}' is a {kind.__name__} with its own {', '.join(own)}, which an energy in its "
            "place would leave out; exchange it by hand, or leave it out of the model given",
            topic="drop-in",
        )
    out = attention.out_proj
    if not isinstance(out, nn.Linear) or _overridden(out, nn.Linear):
        raise ArgumentError(
            f"'{name}.out_proj' is a {parametrize.type_before_parametrizations(out).__name__}; "
            "nn.MultiheadAttention reads the weight of an nn.Linear there, and never calls it: "
            "merge it into one first",
            topic="drop-in",
        )
    kinds = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    for hook in (hook for kind in kinds for hook in getattr(out, kind).values()):
        if not isinstance(hook, prune.BasePruningMethod):  # that gives the weight that is there
            raise ArgumentError(
                f"'{name}.out_proj' has the hook {_called(hook)}, which never ran: "
                "nn.MultiheadAttention reads the weight there and never calls the module, which an "
                "energy in its place would do; take the hook away first, or use "
                "torch.nn.utils.parametrizations in its place",
                topic="drop-in",
            )


def change_class(module: nn.Module, cls: type[nn.Module]) -> None:
    """Make a module one of class `cls`; its parametrised tensors stay parametrised."""
    if parametrize.is_parametrized(module):
        # PyTorch puts the properties of parametrised tensors into a class made for the module.
        beside = ("__dict__", "__weakref__", "__module__", "__doc__")
        properties = {n: v for n, v in vars(type(module)).items() if n not in beside}
        cls = type(f"Parametrized{cls.__name__}", (cls,), properties)
    module.__class__ = cls


def copied(module: nn.Module) -> Any:
    """A deep copy that shares the hooks, and takes tensors that pruning and the like computed."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for name, value in vars(part).items():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()  # made anew at the next call
            elif name.endswith("hooks") and isinstance(value, dict):
                # State-dict hooks are wrapped together with their module, which is copied.
                hooks = [getattr(h, "hook", h) for h in value.values()]
                memo |= {id(hook): hook for hook in hooks}
    return copy.deepcopy(module, memo)


def as_held(attention: nn.MultiheadAttention, state: dict[str, Any], prefix: str) -> None:
    """Put the input maps of a state, packed or as three, into the form that a module holds.

    Args:
        attention: the module.
        state: changed in place.
        prefix: of its names.
    """
    packed, three = f"{prefix}in_proj_weight", [prefix + name for name in MAPS]
    own = attention._parameters
    if own.get("in_proj_weight") is not None and all(name in state for name in three):
        maps = [state[name] for name in three]
        if packed not in state and len({w.shape[1:] for w in maps}) == 1:
            state[packed] = torch.cat([state.pop(name) for name in three])
    elif own.get(MAPS[0]) is not None and packed in state and not set(three) & state.keys():
        state.update(zip(three, state.pop(packed).chunk(3), strict=True))


def _overridden(module: nn.Module, base: type[nn.Module]) -> list[str]:
    """What a module's class, or the module itself, defines in place of what `base` has."""
    cls = parametrize.type_before_parametrizations(module)
    classes = [c for c in cls.__mro__ if c not in base.__mro__]
    # PyTorch's own marker class for the output map of attention.
    classes = [c for c in classes if c is not nn.modules.linear.NonDynamicallyQuantizableLinear]
    of_class = [name for c in classes for name in vars(c) if name not in _HARMLESS]
    of_module = [name for name in vars(module) if callable(getattr(base, name, None))]
    return list(dict.fromkeys([*of_class, *of_module]))


def _called(hook: Any) -> str:
    """What a hook is called: a function, or an object that is one."""
    return repr(getattr(hook, "__qualname__", type(hook).__qualname__))
