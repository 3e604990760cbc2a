"""Whether a module's parts may be called in its place, as decoding and single rows do.

Not where something of the user's belongs to every call of it: a hook, another `forward`.
"""

from __future__ import annotations

from torch import nn

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def is_hooked(module: nn.Module) -> bool:
    """Whether the module has hooks of its own calls; those on its parts do not count.

    Hooks for all modules at once, as counters of operations register, are not looked at.

    Args:
        module: any.
    """
    return any(getattr(module, kind, None) for kind in _HOOKS)


def forward_is_of(module: nn.Module, cls: type[nn.Module]) -> bool:
    """Whether the module is of a class, and computes as that class says."""
    return (
        isinstance(module, cls)
        and "forward" not in vars(module)
        and type(module).forward is cls.forward
    )


def forward_is_newer(module: nn.Module, name: str) -> bool:
    """Whether `forward` was written after another attribute, which need not agree with it any more.

    On the module itself, or in a sub-class of the class that has the other.

    Args:
        module: any.
        name: of the attribute. Without one in the classes nothing is newer than it but what is
            set on the module.
    """
    if "forward" in vars(module):
        return True
    classes = type(module).__mro__
    have = [cls for cls in classes if name in vars(cls)]
    with_forward = next((cls for cls in classes if "forward" in vars(cls)), None)
    if not have or with_forward is None:
        return False
    return classes.index(with_forward) < classes.index(have[0])
